"""The marts of one run: where they are, and which of their rows the run is about.

Reads `ops.run_nodes` and `ops.run_partitions`; writes nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date

from psycopg import sql

from orchestration import database, digest


@dataclass(frozen=True)
class Mart:
    """One mart of a run.

    Attributes:
        partition_column: a date; None where the run is about the whole mart.
        ranges: first and last dates of what the run rebuilt.
    """

    name: str
    partition_column: str | None
    owner: str
    ranges: tuple[tuple[date, date], ...] = ()

    def in_run(self) -> sql.Composable:
        """A condition that holds for the rows that the run rebuilt."""
        if self.partition_column is None:
            return sql.SQL("true")
        column = sql.Identifier(self.partition_column)
        between: list[sql.Composable] = [
            sql.SQL("{} between {} and {}").format(column, sql.Literal(first), sql.Literal(last))
            for first, last in self.ranges
        ]
        return sql.SQL("({})").format(sql.SQL(" or ").join(between or [sql.SQL("false")]))


def of_run(connection: database.Connection, run_id: int) -> list[Mart]:
    """The marts that the run rebuilt, wholly or in part, by name."""
    rows = connection.execute(
        "select name, case when not is_full then partition_column end, coalesce(owner, '')"
        " from ops.run_nodes where run_id = %s and is_mart order by name",
        [run_id],
    ).fetchall()
    query = "select first_date, last_date from ops.run_ranges(%s, %s, 0)"

    def ranges(name: str) -> tuple[tuple[date, date], ...]:
        return tuple((row[0], row[1]) for row in connection.execute(query, [run_id, name]))

    return [Mart(name, by, owner, ranges(name) if by else ()) for name, by, owner in rows]


def candidate_digest(connection: database.Connection, run_id: int) -> str:
    """One digest over all candidate rows that the run rebuilt, metadata columns included."""
    parts = [
        digest.of_table(connection, "candidate", mart.name, where=mart.in_run(), metadata=True)
        for mart in of_run(connection, run_id)
    ]
    text = "\n".join(f"{part.mart} {part.rows} {part.value}" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
