"""What a table holds, in one short text that does not depend on the order of rows.

Reads marts, writes nothing. Equal digests mean equal rows (128 bits of md5 per row, summed).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from psycopg import sql

from orchestration import database


@dataclass(frozen=True)
class Digest:
    """Name, rows and digest of one mart."""

    mart: str
    rows: int
    value: str


def published(connection: database.Connection) -> list[Digest]:
    """One digest per published mart, over the columns whose name does not begin with `_`."""
    query = (
        "select relname from pg_class where relnamespace = 'published'::regnamespace"
        " and relkind = 'r' order by relname"
    )
    return [of_table(connection, "published", mart) for (mart,) in connection.execute(query)]


def of_table(
    connection: database.Connection,
    schema: str,
    table: str,
    *,
    where: sql.Composable | None = None,
    metadata: bool = False,
) -> Digest:
    """Digest of the rows of `schema.table` for which `where` holds.

    Args:
        where: leave it out for all rows.
        metadata: count columns that begin with `_` as well.
    """
    columns = sorted(name for name in columns_of(connection, schema, table))
    if not metadata:
        columns = [name for name in columns if not name.startswith("_")]
    query = sql.SQL(
        "select count(*), sum(('x' || substr(hash, 1, 15))::bit(60)::bigint),"
        " sum(('x' || substr(hash, 16, 15))::bit(60)::bigint)"
        " from (select md5(row({})::text) as hash from {} where {}) as rows"
    ).format(
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        database.relation(schema, table),
        where or sql.SQL("true"),
    )
    count, *sums = connection.execute(query).fetchone() or (0, None, None)
    text = "|".join([*columns, str(count), *(str(value or 0) for value in sums)])
    return Digest(table, int(count), hashlib.sha256(text.encode()).hexdigest()[:32])


def columns_of(connection: database.Connection, schema: str, table: str) -> dict[str, str]:
    """The columns of a table and their types, in the table's order; empty if there is no table."""
    rows = connection.execute(
        "select attname, format_type(atttypid, atttypmod) from pg_attribute"
        " where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped order by attnum",
        [database.relation(schema, table).as_string(connection)],
    )
    return dict(rows.fetchall())
