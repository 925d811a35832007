"""The marts of one run: which they are, and which of their rows the run is about.

Reads `ops.run_nodes` and `ops.run_partitions`; writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestration import database


@dataclass(frozen=True)
class Mart:
    """One mart of a run.

    Attributes:
        condition: SQL that holds for the rows that the run rebuilt.
        partition_column: a date; None where the run is about the whole mart.
    """

    name: str
    owner: str
    condition: str
    partition_column: str | None


def of_run(connection: database.Connection, run_id: int) -> list[Mart]:
    """The marts that the run rebuilt, wholly or in part, by name."""
    rows = connection.execute(
        "select name, coalesce(owner, ''), ops.run_condition(run_id, name),"
        " case when not is_full then partition_column end"
        " from ops.run_nodes where run_id = %s and is_mart order by name",
        [run_id],
    )
    return [Mart(*row) for row in rows]


def candidate_digest(connection: database.Connection, run_id: int) -> str:
    """One digest over all candidate rows that the run rebuilt, metadata columns included."""
    row = connection.execute("select ops.candidate_digest(%s)", [run_id]).fetchone()
    assert row is not None
    return str(row[0])
