"""What a table holds, in one short text that does not depend on the order of rows.

Reads marts, writes nothing. The database computes it: `ops.digest_of`.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestration import database


@dataclass(frozen=True)
class Digest:
    """Name, rows and digest of one mart."""

    mart: str
    rows: int
    value: str


def published(connection: database.Connection) -> list[Digest]:
    """One digest per published mart, over all columns but `ops.lineage_columns`."""
    rows = connection.execute(
        "select relname, found.row_count, found.digest from pg_class,"
        " lateral ops.digest_of(pg_class.oid::regclass) as found"
        " where relnamespace = 'published'::regnamespace and relkind = 'r' order by relname"
    )
    return [Digest(*row) for row in rows]
