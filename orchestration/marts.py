"""The marts of one run: where they are, and which of their rows the run is about.

Reads `ops.run_nodes`; writes nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from psycopg import sql

from orchestration import database, digest


@dataclass(frozen=True)
class Mart:
    """One mart of a run.

    Attributes:
        partition_column: a date; None where the run is about the whole mart.
    """

    name: str
    partition_column: str | None
    owner: str

    def in_run(self, run_id: int) -> sql.Composable:
        """A condition that holds for the rows that the run rebuilt."""
        if self.partition_column is None:
            return sql.SQL("true")
        return sql.SQL(
            "{} in (select partition_date from ops.run_partitions where run_id = {} and model = {})"
        ).format(sql.Identifier(self.partition_column), sql.Literal(run_id), sql.Literal(self.name))


def of_run(connection: database.Connection, run_id: int) -> list[Mart]:
    """The run's marts, by name."""
    rows = connection.execute(
        "select name, partition_column, coalesce(owner, '') from ops.run_nodes"
        " where run_id = %s and is_mart order by name",
        [run_id],
    )
    return [Mart(*row) for row in rows]


def touched_by_run(connection: database.Connection, run_id: int) -> list[Mart]:
    """The run's marts without those of which it rebuilds no partition."""
    rows = connection.execute(
        "select distinct model from ops.run_partitions where run_id = %s", [run_id]
    )
    with_partitions = {model for (model,) in rows}
    return [
        mart
        for mart in of_run(connection, run_id)
        if mart.partition_column is None or mart.name in with_partitions
    ]


def candidate_digest(connection: database.Connection, run_id: int) -> str:
    """One digest over all candidate rows that the run rebuilt, metadata columns included."""
    parts = [
        digest.of_table(
            connection, "candidate", mart.name, where=mart.in_run(run_id), metadata=True
        )
        for mart in of_run(connection, run_id)
    ]
    text = "\n".join(f"{part.mart} {part.rows} {part.value}" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
