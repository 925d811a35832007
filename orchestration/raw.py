"""A source's tables, as its contract wants them: `raw.<source>` and `quarantine.<source>`.

Writes both schemas; each call is one transaction.
"""

from __future__ import annotations

from psycopg import sql

from orchestration import database
from orchestration.contracts import Contract
from orchestration.digest import columns_of

LINEAGE = ("_delivery_id", "_slice_date", "_line")


def prepare(connection: database.Connection, contract: Contract) -> None:
    """Create the source's tables; add the columns that its contract gained."""
    present = columns_of(connection, "raw", contract.source)
    with connection.transaction():
        if not present:
            _create(connection, contract)
        for column in contract.columns:
            if present and column.name not in present:
                connection.execute(
                    sql.SQL("alter table {} add column {} {}").format(
                        database.relation("raw", contract.source),
                        sql.Identifier(column.name),
                        sql.SQL(column.sql_type),
                    )
                )


def _create(connection: database.Connection, contract: Contract) -> None:
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.sql_type))
        for column in contract.columns
    ]
    # Rows of one delivery lie side by side: a block-range index finds them at next to no cost.
    connection.execute(
        sql.SQL(
            "create table {raw} ({columns}, _delivery_id bigint not null,"
            " _slice_date date not null, _line bigint not null);"
            "create index on {raw} using brin (_delivery_id) with (pages_per_range = 8);"
            "create table {held} (delivery_id bigint not null, line bigint not null,"
            " raw_text text not null, reasons text[] not null, primary key (delivery_id, line))"
        ).format(
            raw=database.relation("raw", contract.source),
            held=database.relation("quarantine", contract.source),
            columns=sql.SQL(", ").join(columns),
        )
    )
