"""After the fact: look at what was held back, load a delivery again, take one out.

Reads the ledger and `quarantine`; replay reads the landed file. Each change is one transaction with
its row in `ops.audit_log`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import sql
from psycopg.rows import namedtuple_row

from orchestration import database
from orchestration.errors import UsageError
from orchestration.ingesting import contract_files, raw, receive
from orchestration.ingesting.deliveries import Delivery, audit, take_ids
from orchestration.ingesting.ingest import take_in
from orchestration.ingesting.landing import File, Landing
from orchestration.settings import Settings

_HELD = """
    with held as (
        select delivery_id, line, raw_text, reasons, unnest(reasons) as reason
        from {held}
        where delivery_id in (select delivery_id from ops.active_deliveries where source = {source})
    )
    select {source} as source, regexp_replace(reason, '''.*''', '''...''') as reason,
        count(*) as rows, min(delivery_id) as delivery_id,
        (array_agg(raw_text order by delivery_id, line))[1:3] as samples
    from held
    group by 2
    order by 3 desc, 2
"""


@dataclass(frozen=True)
class Held:
    """What is held back: rejected deliveries that nothing has superseded, rows by reason."""

    rejected: list[Any]
    rows: list[Any]


def quarantine(connection: database.Connection, source: str | None) -> Held:
    """What is held back now, of one source or of all."""
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        rejected: list[Any] = cursor.execute(
            "select delivery_id, source, uri, reason, recorded_at from ops.deliveries as refused"
            " where outcome = 'rejected' and (%(source)s::text is null or source = %(source)s)"
            " and not exists (select from ops.deliveries as later where later.uri = refused.uri"
            " and later.delivery_id > refused.delivery_id) order by delivery_id",
            {"source": source},
        ).fetchall()
        rows: list[Any] = []
        for name in raw.sources(connection):
            if source in (None, name):
                query = sql.SQL(_HELD).format(
                    held=database.relation("quarantine", name), source=sql.Literal(name)
                )
                rows += cursor.execute(query).fetchall()
    return Held(rejected, rows)


@database.acts_as("loader")
def replay(
    settings: Settings,
    connection: database.Connection,
    *,
    delivery_id: int | None,
    source: str | None,
    reason: str,
) -> list[Delivery]:
    """Load deliveries again, by the contracts as they are now: one, or a source's held-back ones.

    Each becomes a new delivery that supersedes the one it replays.

    Raises:
        UsageError: there is no such delivery, or its file is no longer there.
    """
    known = contract_files.load_all(settings.project / "contracts")
    landing = Landing.at(settings.landing_url)
    for versions in known.values():
        raw.prepare(connection, versions)
    chosen = _chosen(connection, delivery_id, source)
    deliveries = []
    for old_id, uri in chosen:
        delivery = receive.match(known, _landed(landing, old_id, uri))
        delivery.replay_of, delivery.requested = old_id, (settings.requested_by, reason)
        deliveries.append(delivery)
    return list(take_in(settings, connection, landing, known, deliveries))


@database.acts_as("loader")
def withdraw(
    settings: Settings, connection: database.Connection, delivery_id: int, reason: str
) -> int:
    """Take a loaded delivery out: its slice falls back to the one before; returns the ledger id.

    Raises:
        UsageError: there is no such loaded delivery, or it is withdrawn already.
    """
    row = connection.execute(
        "select uri, source, file_version, outcome,"
        " exists (select from ops.deliveries as w where w.withdraws = d.delivery_id)"
        " from ops.deliveries as d where delivery_id = %s",
        [delivery_id],
    ).fetchone()
    if row is None or row[3] != "loaded" or row[4]:
        state = "unknown" if row is None else "withdrawn already" if row[4] else row[3]
        raise UsageError(
            f"Delivery {delivery_id} is {state}; only a loaded one can be withdrawn.",
            kept="Nothing was changed.",
            todo='`make psql SQL="select * from ops.deliveries"` lists them.',
        )
    with connection.transaction():
        withdrawal = take_ids(connection, 1)
        connection.execute(
            "insert into ops.deliveries (delivery_id, source, slice_date, slice_hour, slice_days,"
            " uri, file_version, size_bytes, sha256, outcome, reason, withdraws, started_at)"
            " select %s, source, slice_date, slice_hour, slice_days, uri, file_version, size_bytes,"
            " sha256, 'withdrawn', %s, delivery_id, now() from ops.deliveries"
            " where delivery_id = %s",
            [withdrawal, reason, delivery_id],
        )
        audit(connection, settings.requested_by, "withdraw", delivery_id, reason)
        connection.execute("select ops.await_earlier_deliveries(%s)", [withdrawal])
    return withdrawal


def _chosen(
    connection: database.Connection, delivery_id: int | None, source: str | None
) -> list[tuple[int, str]]:
    if delivery_id is not None:
        query = (
            "select delivery_id, uri from ops.deliveries"
            " where delivery_id = %s and outcome in ('loaded', 'rejected')"
        )
        rows = connection.execute(query, [delivery_id]).fetchall()
        if not rows:
            raise UsageError(
                f"There is no loaded or rejected delivery {delivery_id}.",
                kept="Nothing was changed.",
                todo="`make quarantine` lists what is held back.",
            )
        return rows
    held = quarantine(connection, source)
    active = connection.execute(
        "select delivery_id, uri from ops.deliveries inner join ops.active_deliveries"
        " using (source, delivery_id) where rows_quarantined > 0"
        " and (%(source)s::text is null or source = %(source)s) order by delivery_id",
        {"source": source},
    ).fetchall()
    return sorted({*((row.delivery_id, row.uri) for row in held.rejected), *active})


def _landed(landing: Landing, delivery_id: int, uri: str) -> File:
    for file in landing.files():
        if file.uri == uri:
            return file
    raise UsageError(
        f"The file of delivery {delivery_id} is no longer where it landed: {uri}",
        kept="Nothing was changed; what was loaded of it stays.",
        todo="Have it delivered again; `make ingest` then takes it in.",
    )
