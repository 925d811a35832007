"""What was published when, from what and by whom; and which rows it changed.

Reads the ledger, `history`, `published` and `candidate`; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row, namedtuple_row

from orchestration import database, tables
from orchestration.auditing import marts
from orchestration.errors import UsageError

# Each changed key of one publication with its row before; after: what the next change found, or
# what is published now.
_OF_PUBLICATION = """
    select
        changes._change as change,
        case when changes._change <> 'insert'
            then to_jsonb(changes.*) - array['_publication_id', '_change'] end as before,
        case when changes._change <> 'delete' then coalesce(
            (
                select to_jsonb(later.*) - array['_publication_id', '_change']
                from {history} as later
                where {same_key} and later._publication_id > {publication}
                order by later._publication_id limit 1
            ),
            (select to_jsonb(later.*) from {published} as later where {same_key})
        ) end as after
    from {history} as changes
    where changes._publication_id = {publication}
"""
_WITHOUT_LINEAGE = """
    select * from ({changed}) as changed
    where (before - ops.lineage_columns()) is distinct from (after - ops.lineage_columns())
"""
_OF_CANDIDATE = """
    select
        case
            when p.{of_key} is null then 'insert' when c.{of_key} is null then 'delete'
            else 'update'
        end as change,
        case when p.{of_key} is not null then to_jsonb(p.*) end as before,
        case when c.{of_key} is not null then to_jsonb(c.*) end as after
    from (select * from {published} where {condition}) as p
    full join (select * from {candidate} where {condition}) as c using ({key})
    where
        p.{of_key} is null or c.{of_key} is null
        or not record_image_eq(row({p_compared}), row({c_compared}))
"""


@dataclass(frozen=True)
class Difference:
    """How many rows of a mart differ, and some of them: (change, row before, row after).

    Attributes:
        months: the counts by month, of a mart that is rebuilt by date.
    """

    mart: str
    counts: dict[str, int]
    rows: list[tuple[str, dict[str, Any], dict[str, Any]]]
    months: dict[str, dict[str, int]] = field(default_factory=dict)


def publications(connection: database.Connection, most: int = 20) -> list[Any]:
    """The newest publications, newest first."""
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        return cursor.execute(
            "select publications.*, runs.kind, runs.runner, runs.backfill_id,"
            " sum(inserted)::bigint as inserted,"
            " sum(updated)::bigint as updated, sum(deleted)::bigint as deleted"
            " from ops.publications inner join ops.runs using (run_id)"
            " left join ops.publication_changes using (publication_id)"
            " group by publications.publication_id, runs.run_id"
            " order by publication_id desc limit %s",
            [most],
        ).fetchall()


def of_publication(
    connection: database.Connection, publication_id: int, most: int
) -> Iterator[Difference]:
    """What a retained publication changed, mart by mart.

    Raises:
        UsageError: there is no such publication, or gc removed its traces.
    """
    row = connection.execute(
        "select is_retained from ops.publications where publication_id = %s", [publication_id]
    ).fetchone()
    if row is None or not row[0]:
        raise UsageError(
            f"Publication {publication_id} is not retained.",
            kept="Nothing was changed.",
            todo="`make history` lists what is.",
        )
    changed = connection.execute(
        "select mart from ops.publication_changes where publication_id = %s"
        " and inserted + updated + deleted > 0 order by mart",
        [publication_id],
    ).fetchall()
    for (mart,) in changed:
        key = tables.key_of(connection, "published", mart)
        changed_rows = sql.SQL(_OF_PUBLICATION).format(
            history=database.relation("history", mart),
            published=database.relation("published", mart),
            publication=sql.Literal(publication_id),
            same_key=sql.SQL(" and ").join(
                sql.SQL("later.{0} = changes.{0}").format(sql.Identifier(name)) for name in key
            ),
        )
        query = sql.SQL(_WITHOUT_LINEAGE).format(changed=changed_rows)
        yield _difference(connection, mart, query, most)


def of_candidate(connection: database.Connection, most: int) -> Iterator[Difference]:
    """What publishing the candidate of the newest built run would change, mart by mart."""
    row = connection.execute(
        "select run_id from ops.runs where state in ('built', 'passed', 'blocked')"
        " order by run_id desc limit 1"
    ).fetchone()
    lineage = tables.lineage_columns(connection)
    for mart in marts.of_run(connection, row[0]) if row else []:
        columns = tables.columns_of(connection, "candidate", mart.name)
        published = tables.columns_of(connection, "published", mart.name)
        if not columns:
            continue
        if not published:
            yield _new(connection, mart)
            continue
        key = tables.key_of(connection, "candidate", mart.name)
        compared = [name for name in columns if name not in lineage and name in published]
        query = sql.SQL(_OF_CANDIDATE).format(
            published=database.relation("published", mart.name),
            candidate=database.relation("candidate", mart.name),
            condition=sql.SQL(mart.condition),
            key=sql.SQL(", ").join(map(sql.Identifier, key)),
            of_key=sql.Identifier(key[0]),
            p_compared=_list(compared, "p"),
            c_compared=_list(compared, "c"),
        )
        found = _difference(connection, mart.name, query, most)
        if found.counts:
            months = _by_month(connection, mart.partition_column, query)
            yield replace(found, months=months)


def _new(connection: database.Connection, mart: marts.Mart) -> Difference:
    """All rows of a mart of which nothing is published yet."""
    query = sql.SQL("select count(*) from {} where {}").format(
        database.relation("candidate", mart.name), sql.SQL(mart.condition)
    )
    ((count,),) = connection.execute(query).fetchall()
    return Difference(mart.name, {"insert": count}, [])


def _by_month(
    connection: database.Connection, column: str | None, query: sql.Composed
) -> dict[str, dict[str, int]]:
    months: dict[str, dict[str, int]] = {}
    if column:
        counted = sql.SQL(
            "select left(coalesce(after, before) ->> {}, 7), change, count(*)"
            " from ({}) as changed group by 1, 2"
        ).format(sql.Literal(column), query)
        for month, change, count in connection.execute(counted):
            months.setdefault(month, {})[change] = count
    return months


def _difference(
    connection: database.Connection, mart: str, query: sql.Composed, most: int
) -> Difference:
    counted = sql.SQL("select change, count(*) from ({}) as changed group by change").format(query)
    counts = dict(connection.execute(counted).fetchall())
    with connection.cursor(row_factory=dict_row) as cursor:
        shown = sql.SQL("{} limit {}").format(query, sql.Literal(most))
        rows = [
            (row["change"], row["before"] or {}, row["after"] or {})
            for row in cursor.execute(shown)
        ]
    return Difference(mart, counts, rows)


def _list(names: list[str], table: str) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(table, name) for name in names)
