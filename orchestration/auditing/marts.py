"""The marts of one run: which they are, and which of their rows the run is about.

Reads `ops.run_nodes` and `ops.run_partitions`; writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from orchestration import database

_SHOWN = 5


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


def is_empty(connection: database.Connection, mart: Mart) -> bool:
    """Whether the run rebuilt no row of it."""
    query = sql.SQL("select not exists (select from {} where {})").format(
        database.relation("candidate", mart.name), sql.SQL(mart.condition)
    )
    row = connection.execute(query).fetchone()
    return bool(row and row[0])


def dates_of(connection: database.Connection, run_id: int, mart: Mart) -> str:
    """The dates of the mart that the run is about, in words."""
    if mart.partition_column is None:
        return "all"
    ranges = connection.execute(
        "select first_date, last_date from ops.run_ranges(%s, %s, 0)", [run_id, mart.name]
    ).fetchall()
    said = [
        str(first) if first == last else f"{first} to {last}" for first, last in ranges[:_SHOWN]
    ]
    more = len(ranges) - len(said)
    return ", ".join(said) + (f" and {more} more" if more else "")


def candidate_digest(connection: database.Connection, run_id: int) -> str:
    """One digest over all candidate rows that the run rebuilt, metadata columns included."""
    row = connection.execute("select ops.candidate_digest(%s)", [run_id]).fetchone()
    assert row is not None
    return str(row[0])
