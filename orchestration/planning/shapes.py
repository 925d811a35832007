"""What a mart's declared shape may not be, given what is published and what types there are.

Reads dbt's manifest and PostgreSQL's catalogue; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestration import database

# Types of the database's own; those of extensions are as good as built-in ones.
_OWN_TYPES = """
    select given.number, format_type(oid, null)
    from unnest(%s::text[]) with ordinality as given (kind, number)
    inner join pg_type on pg_type.oid = to_regtype(given.kind)
    where
        typnamespace <> 'pg_catalog'::regnamespace
        and not exists (
            select from pg_depend
            where classid = 'pg_type'::regclass and objid = pg_type.oid and deptype = 'e'
        )
"""
# By number: who plans may not look into `published`.
_PUBLISHED = """
    select pg_class.oid, ops.key_of(pg_class.oid)
    from pg_class inner join pg_namespace on pg_namespace.oid = relnamespace
    where nspname = 'published' and relname = %s and relkind = 'r'
"""
_LOST = """
    select attname
    from pg_attribute
    left join unnest(%s::text[], %s::text[]) as declared (name, kind)
        on name = attname and to_regtype(kind) = atttypid
    where attrelid = %s and attnum > 0 and not attisdropped and name is null
    order by attnum
"""


def refused(connection: database.Connection, mart: Any) -> Iterator[str]:
    """Why the mart's declared columns and key cannot be published, each with what would do."""
    columns = [column for column in mart.columns.values() if column.data_type]
    names = [column.name if column.quote else column.name.lower() for column in columns]
    kinds = [column.data_type for column in columns]
    for number, kind in connection.execute(_OWN_TYPES, [kinds]).fetchall():
        yield (
            f"its column {names[number - 1]} is of type {kind}, which would tie what readers see to"
            " an object that no publication keeps. Use a built-in type, such as text, with a test."
        )
    published = connection.execute(_PUBLISHED, [mart.alias]).fetchone()
    if not published:
        return
    relation, before = published
    gone = connection.execute(_LOST, [names, kinds, relation]).fetchall()
    if gone:
        lost = ", ".join(name for (name,) in gone)
        yield (
            f"{lost} dropped or retyped; readers rely on it. Keep the column, or add a new version"
            " of the model beside the old one."
        )
    now = _key(mart)
    if before and now and now != sorted(before):
        yield (
            f"its primary key is ({', '.join(now)}), and that of what is published"
            f" ({', '.join(before)}), by which rows are compared. Add a new version of the model"
            " beside the old one."
        )


def _key(mart: Any) -> list[str]:
    """The declared key's columns, sorted; empty if there is none."""
    key = [name for c in mart.constraints if c.type == "primary_key" for name in c.columns]
    key += [
        column.name for column in mart.columns.values()
        if any(c.type == "primary_key" for c in column.constraints)
    ]  # fmt: skip
    return sorted(key)
