"""`make gc`: forget what no retained publication needs.

Deletes from `history` and `raw`, drops marts that left the project; notes it in `ops.publications`,
`ops.deliveries` and `ops.audit_log`. One transaction per source, per mart, and one for the history.
Killed: run it again.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from orchestration import database, tables
from orchestration.building import state
from orchestration.errors import AirworthyError
from orchestration.ingesting import raw
from orchestration.ingesting.deliveries import audit
from orchestration.settings import Settings

# A publication is retained while it is among the newest or young, and always the newest one.
_FORGET = """
    update ops.publications set is_retained = false
    where
        is_retained
        and publication_id <= (select max(publication_id) from ops.publications) - %(number)s
        and published_at < now() - make_interval(days => %(days)s)
        and publication_id < (select max(publication_id) from ops.publications)
    returning publication_id
"""
# Loaded deliveries that no retained publication shows and that the next one will not show either.
_UNNEEDED = """
    select delivery_id from ops.deliveries
    where
        source = %(source)s and outcome = 'loaded' and rows_removed_at is null
        and delivery_id <= (
            select coalesce(min(as_of), 0) from ops.publication_inputs where is_retained
        )
    except
    select active.delivery_id
    from (select distinct as_of from ops.publication_inputs where is_retained) as kept,
        lateral ops.active_deliveries_as_of(kept.as_of) as active
    except
    select delivery_id from ops.active_deliveries_as_of(9223372036854775807)
"""


@dataclass(frozen=True)
class Removed:
    publications: int
    deliveries: int
    raw_rows: int
    marts: tuple[str, ...] = ()


def collect(settings: Settings, connection: database.Connection) -> Removed:
    """Forget publications past their retention, and what only they needed.

    The newest publication, and the rows it and the next run read, always stay. A mart that left
    the project goes with the last publication whose code had it.

    Raises:
        AirworthyError: somebody's view reads a mart that has to go, or somebody reads it now.
    """
    with database.only_one(connection, "publication"), connection.transaction():
        limits = {"number": settings.retain_publications, "days": settings.retain_days}
        forgotten = [row[0] for row in connection.execute(_FORGET, limits)]
        if forgotten:
            for mart in tables.names_in(connection, "history"):
                connection.execute(
                    sql.SQL("delete from {} where _publication_id = any(%s)").format(
                        database.relation("history", mart)
                    ),
                    [forgotten],
                )
    deliveries = rows = 0
    for source in raw.sources(connection):
        found = _remove(settings, connection, source)
        deliveries, rows = deliveries + found[0], rows + found[1]
    return Removed(len(forgotten), deliveries, rows, _drop_left_marts(settings, connection))


def _drop_left_marts(settings: Settings, connection: database.Connection) -> tuple[str, ...]:
    known = state.retained_marts(connection)
    left = [mart for mart in tables.names_in(connection, "published") if mart not in known]
    for mart in left:
        try:
            with connection.transaction():
                connection.execute("set local lock_timeout = '100ms'")
                for schema in ("published", "history"):
                    relation = database.relation(schema, mart)
                    connection.execute(sql.SQL("drop table {}").format(relation))
                audit(connection, settings.requested_by, "gc", None, f"mart {mart}")
        except (psycopg.errors.DependentObjectsStillExist, psycopg.errors.LockNotAvailable) as e:
            raise AirworthyError(
                f"The mart {mart} left the project, but is still in use: {e.diag.message_detail}",
                kept="It stays as it was last published; the rest was removed.",
                todo="Point its readers to another mart, then run `make gc` again.",
            ) from e
    return tuple(left)


def _remove(settings: Settings, connection: database.Connection, source: str) -> tuple[int, int]:
    with connection.transaction():
        unneeded = [row[0] for row in connection.execute(_UNNEEDED, {"source": source})]
        if not unneeded:
            return 0, 0
        connection.execute(
            "update ops.deliveries set rows_removed_at = now() where delivery_id = any(%s)",
            [unneeded],
        )
        removed = connection.execute(
            sql.SQL("delete from {} where _delivery_id = any(%s)").format(
                database.relation("raw", source)
            ),
            [unneeded],
        ).rowcount
        why = f"{removed} rows of {len(unneeded)} deliveries of {source}"
        audit(connection, settings.requested_by, "gc", None, why)
    return len(unneeded), removed
