"""What a mart's declared shape may not be, given what is published and what types there are.

Reads dbt's manifest and PostgreSQL's catalogue; writes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from orchestration import database

# Types of the database's own; those of extensions are as good as built-in ones.
_OWN_TYPES = """
    select mart, name, format_type(oid, null)
    from unnest(%(of)s::text[], %(names)s::text[], %(kinds)s::text[]) as declared (mart, name, kind)
    inner join pg_type on pg_type.oid = to_regtype(kind)
    where
        typnamespace <> 'pg_catalog'::regnamespace
        and not exists (
            select from pg_depend
            where classid = 'pg_type'::regclass and objid = pg_type.oid and deptype = 'e'
        )
"""
# Tables by number: who plans may not look into `published`.
_KEYS = """
    select relname, ops.key_of(pg_class.oid)
    from pg_class inner join pg_namespace on pg_namespace.oid = relnamespace
    where nspname = 'published' and relkind = 'r' and relname = any(%(marts)s)
"""
# Whatever cascades when dbt drops a relation and makes it again.
_BOUND = """
    select distinct
        bound.relnamespace::regnamespace::text || '.' || bound.relname,
        used.relnamespace::regnamespace::text || '.' || used.relname
    from pg_depend
    inner join pg_class as used
        on refclassid = 'pg_class'::regclass and used.oid = refobjid
    left join pg_rewrite on classid = 'pg_rewrite'::regclass and pg_rewrite.oid = objid
    left join pg_constraint on classid = 'pg_constraint'::regclass and pg_constraint.oid = objid
    left join pg_attrdef on classid = 'pg_attrdef'::regclass and pg_attrdef.oid = objid
    left join pg_trigger on classid = 'pg_trigger'::regclass and pg_trigger.oid = objid
    left join pg_policy on classid = 'pg_policy'::regclass and pg_policy.oid = objid
    inner join pg_class as bound on bound.oid = coalesce(
        ev_class, nullif(conrelid, 0), adrelid, tgrelid, polrelid,
        case when classid = 'pg_class'::regclass then objid end
    )
    where
        bound.relnamespace in (to_regnamespace('published'), to_regnamespace('history'))
        and used.relnamespace::regnamespace::text = any(%(schemas)s)
    order by 1, 2
"""
_LOST = """
    select relname, string_agg(attname, ', ' order by attnum)
    from pg_class inner join pg_namespace on pg_namespace.oid = relnamespace
    inner join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
    left join
        unnest(%(of)s::text[], %(names)s::text[], %(kinds)s::text[]) as declared (mart, name, kind)
        on mart = relname and name = attname and to_regtype(kind) = atttypid
    where nspname = 'published' and relkind = 'r' and relname = any(%(marts)s) and name is null
    group by relname
"""


def refused(connection: database.Connection, marts: Collection[Any]) -> Iterator[str]:
    """Of each mart whose declared columns or key cannot be published: why, and what would do."""
    keys = {mart.alias: key_of(mart) for mart in marts}
    declared = _declared(marts)
    for mart, column, kind in connection.execute(_OWN_TYPES, declared).fetchall():
        yield (
            f"{mart}: its column {column} is of type {kind}, which would tie what readers see to an"
            " object that no publication keeps. Use a built-in type, such as text, with a test."
        )
    for mart, lost in connection.execute(_LOST, declared).fetchall():
        yield (
            f"{mart}: {lost} dropped or retyped; readers rely on it. Keep the column, or add a new"
            " version of the model beside the old one."
        )
    for mart, before in connection.execute(_KEYS, declared).fetchall():
        now = keys[mart]
        if before and now and now != sorted(before):
            yield (
                f"{mart}: its primary key is ({', '.join(now)}), and that of what is published"
                f" ({', '.join(before)}), by which rows are compared. Add a new version of the"
                " model beside the old one."
            )


def bound(connection: database.Connection, schemas: Collection[str]) -> Iterator[str]:
    """Of each published object that hangs on a relation in dbt's `schemas`: why it must not."""
    for published, used in connection.execute(_BOUND, {"schemas": list(schemas)}).fetchall():
        yield (
            f"{published}: it depends on {used}, and would vanish when that is built anew. Let it"
            " read what is published instead, or drop it."
        )


def key_of(mart: Any) -> list[str]:
    """The declared key's columns, sorted; empty if there is none."""
    key = [name for c in mart.constraints if c.type == "primary_key" for name in c.columns]
    key += [
        column.name for column in mart.columns.values()
        if any(c.type == "primary_key" for c in column.constraints)
    ]  # fmt: skip
    return sorted(key)


def _declared(marts: Collection[Any]) -> dict[str, list[str]]:
    columns = [
        (mart.alias, column.name if column.quote else column.name.lower(), column.data_type)
        for mart in marts for column in mart.columns.values() if column.data_type
    ]  # fmt: skip
    of, names, kinds = ([row[n] for row in columns] for n in range(3))
    return {"marts": [mart.alias for mart in marts], "of": of, "names": names, "kinds": kinds}
