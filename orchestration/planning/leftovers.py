"""What runs built and no model makes any more is removed from dbt's schemas.

Reads the ledger, dbt's graph and PostgreSQL's catalogue; drops tables and views below `published`.
"""

from __future__ import annotations

import psycopg

from orchestration import database
from orchestration.planning.graph import Graph

# Only what is ours to drop, and what a run of ours built: people keep tables of their own there.
_BUILT = """
    select distinct schema_name, name, case relkind when 'v' then 'view' else 'table' end
    from ops.run_nodes
    inner join pg_namespace on nspname = schema_name
    inner join pg_class on relnamespace = pg_namespace.oid and relname = name
    where
        resource_type in ('model', 'seed') and relkind in ('r', 'v')
        and pg_has_role(relowner, 'usage')
    order by 3 desc, 1, 2
"""


def remove(connection: database.Connection, known: Graph) -> list[str]:
    """Drop what is left over; a sentence on each relation that somebody else's view reads."""
    made = {(node.schema, node.name) for node in known.nodes if not node.is_test}
    left = [row for row in connection.execute(_BUILT).fetchall() if row[:2] not in made]
    stays: dict[tuple[str, str, str], str] = {}
    before = -1
    while left and len(left) != before:  # one may be in the way of another
        before, stays = len(left), {}
        for row in left:
            if why := _drop(connection, *row):
                stays[row] = why
        left = list(stays)
    return [
        f"{schema}.{name} is made by no model any more, and stays: {why}"
        for (schema, name, _), why in stays.items()
    ]


def _drop(connection: database.Connection, schema: str, name: str, kind: str) -> str | None:
    """None if it is gone, else what is in the way."""
    try:
        with connection.transaction():
            relation = database.relation(schema, name)
            connection.execute(psycopg.sql.SQL(f"drop {kind} {{}}").format(relation))
    except psycopg.errors.DependentObjectsStillExist as error:
        return (error.diag.message_detail or "").replace("\n", "; ")
    return None
