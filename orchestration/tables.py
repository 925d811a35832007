"""What the database's catalogue says about tables: which there are, their columns, their keys.

Reads the catalogue, writes nothing.
"""

from __future__ import annotations

from orchestration import database


def names_in(connection: database.Connection, schema: str) -> list[str]:
    """The tables of a schema, by name."""
    rows = connection.execute(
        "select relname from pg_class where relnamespace = to_regnamespace(%s) and relkind = 'r'"
        " order by relname",
        [schema],
    )
    return [name for (name,) in rows]


def columns_of(connection: database.Connection, schema: str, table: str) -> dict[str, str]:
    """The columns of a table and their types, in the table's order; empty if there is no table."""
    rows = connection.execute(
        "select attname, format_type(atttypid, atttypmod) from pg_attribute"
        " where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped order by attnum",
        [_relation(connection, schema, table)],
    )
    return dict(rows.fetchall())


def lineage_columns(connection: database.Connection) -> list[str]:
    """What leads from a row back to its delivery; two warehouses may differ in it."""
    row = connection.execute("select ops.lineage_columns()").fetchone()
    return list(row[0]) if row else []


def key_of(connection: database.Connection, schema: str, table: str) -> list[str]:
    """The columns of a table's primary key, in order; empty if it has none."""
    row = connection.execute(
        "select ops.key_of(%s::regclass)", [_relation(connection, schema, table)]
    ).fetchone()
    return list(row[0]) if row and row[0] else []


def _relation(connection: database.Connection, schema: str, table: str) -> str:
    return database.relation(schema, table).as_string(connection)
