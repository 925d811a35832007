"""A source's tables, as its contract wants them: `raw.<source>` and `quarantine.<source>`.

Writes both schemas; each call is one transaction.
"""

from __future__ import annotations

import polars as pl
from psycopg import sql

from orchestration import database, tables
from orchestration.errors import UsageError
from orchestration.ingesting.contracts import Contract

LINEAGE = ("_delivery_id", "_slice_date", "_line")


def prepare(connection: database.Connection, versions: list[Contract]) -> None:
    """Create the source's tables; add the columns that its contracts gained.

    Raises:
        UsageError: two versions of the contract disagree on a column's type.
    """
    columns = _columns(versions)
    present = tables.columns_of(connection, "raw", versions[0].source)
    if set(columns) <= set(present):
        return
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtext('airworthy raw tables'))")
        present = tables.columns_of(connection, "raw", versions[0].source)
        if not present:
            _create(connection, versions[0].source, columns)
        for name, kind in columns.items():
            if present and name not in present:
                connection.execute(
                    sql.SQL("alter table {} add column {} {}").format(
                        database.relation("raw", versions[0].source),
                        sql.Identifier(name),
                        sql.SQL(kind),
                    )
                )


def sources(connection: database.Connection) -> list[str]:
    """The sources that have tables, by name."""
    return tables.names_in(connection, "quarantine")


def values(connection: database.Connection, source: str, column: str) -> pl.Series:
    """The texts of a column in a source's active deliveries; empty where it has none."""
    if column not in tables.columns_of(connection, "raw", source):
        return pl.Series(dtype=pl.String)
    rows = connection.execute(
        sql.SQL(
            "select distinct {column}::text from {raw} where {column} is not null and _delivery_id"
            " in (select delivery_id from ops.active_deliveries where source = {source})"
        ).format(
            column=sql.Identifier(column),
            raw=database.relation("raw", source),
            source=sql.Literal(source),
        )
    )
    return pl.Series([text for (text,) in rows], dtype=pl.String)


def _columns(versions: list[Contract]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for contract in versions:
        for column in contract.columns:
            known = columns.setdefault(column.name, column.sql_type)
            if known != column.sql_type:
                raise UsageError(
                    f"{contract.source}.{column.name} is {column.sql_type} in version"
                    f" {contract.version} and {known} in a newer one.",
                    kept="Nothing was changed.",
                    todo="Give the retyped column a new name; see docs/contracts.md, Versions.",
                )
    return columns


def _create(connection: database.Connection, source: str, columns: dict[str, str]) -> None:
    definitions = [
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))
        for name, kind in columns.items()
    ]
    # Rows of one delivery, and of one date, lie side by side: block-range indexes find them at
    # next to no cost.
    connection.execute(
        sql.SQL(
            "create table {raw} ({columns}, _delivery_id bigint not null,"
            " _slice_date date not null, _line bigint not null);"
            "create index on {raw} using brin (_delivery_id, _slice_date)"
            " with (pages_per_range = 8, autosummarize = on);"
            "create table {held} (delivery_id bigint not null, line bigint not null,"
            " raw_text text not null, reasons text[] not null, primary key (delivery_id, line))"
        ).format(
            raw=database.relation("raw", source),
            held=database.relation("quarantine", source),
            columns=sql.SQL(", ").join(definitions),
        )
    )
