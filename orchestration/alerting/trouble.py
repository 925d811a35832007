"""What the ledger says is wrong: rejected deliveries, gates that block or warn, a hold, a deadline.

Reads the ledger, and the contracts where a delivery is rejected; what it finds becomes alerts.
Killed: the next call finds the same.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from psycopg.rows import namedtuple_row

from orchestration import console, database
from orchestration.alerting import alerts, outbox
from orchestration.alerting.alerts import Alert
from orchestration.errors import UsageError
from orchestration.ingesting.contracts import Contract
from orchestration.ingesting.landing import Landing
from orchestration.settings import Settings

_REJECTED = """
    select source, count(*) as files, min(recorded_at) as since,
        (array_agg(uri order by delivery_id desc))[1] as uri,
        (array_agg(reason order by delivery_id desc))[1] as reason
    from ops.rejections
    where delivery_id <> all (%s)
    group by source order by source
"""
# The newest judged run; a rollback is judged by nobody.
_BLOCKED = """
    with newest as (
        select run_id, decided_at, verdicts.passed
        from ops.verdicts inner join ops.runs using (run_id)
        where backfill_id is null and kind <> 'rollback'
        order by run_id desc limit 1
    ),
    blocked as (
        select run_id, decided_at, null::bigint as backfill_id from newest where not passed
        union all
        select max(run_id), max(decided_at), backfill_id
        from ops.backfill_chunk_states as chunks
        inner join ops.backfills using (backfill_id) inner join ops.verdicts using (run_id)
        where chunks.state = 'blocked' and backfills.state in ('running', 'paused')
        group by backfill_id
    )
    select blocked.*, first.*, (select max(published_at) from ops.publications) as published_at
    from blocked left join lateral (
        select subject, check_name, observed, expected,
            count(*) over () as checks,
            coalesce(
                nodes.owner,
                (select min(owner) from ops.run_nodes as others
                    where others.run_id = blocked.run_id)
            ) as owner
        from ops.gate_results as results
        left join ops.run_nodes as nodes
        on nodes.run_id = results.run_id and nodes.name = results.subject
        where results.run_id = blocked.run_id and not passed and severity = 'critical'
        order by check_id limit 1
    ) as first on true
"""
# Of what readers see: the run that was published last, unless that was a rollback.
_WARNED = """
    select owner, count(*) as checks, min(decided_at) as since, max(run_id) as run_id,
        (array_agg(subject || ': ' || check_name || ': ' || coalesce(observed, '')
            order by check_id))[1] as first
    from ops.gate_results as results inner join ops.verdicts using (run_id)
    inner join ops.run_nodes as nodes using (run_id)
    where
        nodes.name = subject and not results.passed and severity = 'warning'
        and run_id = (select run_id from ops.publications order by publication_id desc limit 1)
    group by owner order by owner
"""
_UNMATCHED = "select delivery_id, uri from ops.rejections where source = 'unmatched'"
# Over when something was published since, or when it was a day ago.
_DEADLINES = """
    select key, severity, owner, what, since, impact, runbook, look from ops.open_alerts
    where
        origin = 'deadline' and since > clock_timestamp() - interval '1 day'
        and not exists (select from ops.publications where published_at > since)
"""
_NOBODY = "nobody"


def tell(settings: Settings, connection: database.Connection) -> None:
    """Settle what the ledger says, and tell it: at the end of a step, which it never stops."""
    try:
        settle(settings, connection)
        told = outbox.send(settings, connection)
    except Exception as error:  # whatever breaks here, the step's own outcome stands
        reason = str(error).strip() or type(error).__name__
        console.say("alert", f"nobody was told now: {reason}")
        console.say("", "it waits in the ledger; `make watch` tries again")
        return
    say_down(told)


def say_down(told: outbox.Told) -> None:
    for name, reason in told.down.items():
        console.say("alert", f"channel {name} took nothing: {reason}; it waits in the ledger")


def settle(settings: Settings, connection: database.Connection) -> None:
    """Make the open alerts those that the ledger calls for."""
    found = [
        *_rejections(settings, connection),
        *_blocked(connection),
        *_warned(connection),
        *_held(connection),
    ]
    alerts.settle(connection, "ledger", found)
    rows = connection.execute(_DEADLINES).fetchall()
    alerts.settle(connection, "deadline", [Alert(*row) for row in rows])


def missed_deadline(connection: database.Connection, what: str, owner: str) -> None:
    """Note that what an orchestrator runs has not ended in time."""
    found = Alert(
        key=f"deadline:{what}",
        severity="log",
        owner=owner,
        what=f"The run of {what} has not ended in time",
        since=datetime.now(UTC),
        impact="None yet: whether a mart misses its due time is told apart.",
        runbook="runbooks/publication-late.md",
        look="make status",
    )
    alerts.settle(connection, "deadline", [found], resolves=False)


def _rejections(settings: Settings, connection: database.Connection) -> list[Alert]:
    gone = _gone(settings, connection)
    rows: list[Any] = _rows(connection, _REJECTED, [gone])
    if not rows:
        return []
    known = _contracts(settings)
    found = []
    for row in rows:
        contract = known[row.source][0] if row.source in known else None
        files = f"{row.files:,} deliveries" if row.files > 1 else "A delivery"
        found.append(
            Alert(
                key=f"rejected:{row.source}",
                severity="log" if contract and contract.severity == "warning" else "ticket",
                owner=(contract.owner if contract else "") or _NOBODY,
                what=f"{files} of {row.source} rejected, the newest {row.uri}: {row.reason}"[:500],
                since=row.since,
                impact="Their rows are not loaded; everything else is.",
                runbook="runbooks/delivery-rejected.md",
                look=f"make quarantine SOURCE={row.source}",
            )
        )
    return found


def _contracts(settings: Settings) -> dict[str, list[Contract]]:
    # Imported here: most steps end without a rejected delivery.
    from orchestration.ingesting import contract_files

    try:
        return contract_files.load_all(settings.project / "contracts")
    except UsageError:  # whoever reads contracts for its work says what is wrong with them
        return {}


def _gone(settings: Settings, connection: database.Connection) -> list[int]:
    """Files that fit no contract and were taken away: nobody has to do anything about them."""
    rows = connection.execute(_UNMATCHED).fetchall()
    if not rows:
        return []
    there = {file.uri for file in Landing.at(settings.landing_url).files()}
    return [delivery_id for delivery_id, uri in rows if uri not in there]


def _blocked(connection: database.Connection) -> list[Alert]:
    found = []
    for row in _rows(connection, _BLOCKED, []):
        of_backfill = row.backfill_id is not None
        checks = f"{row.checks} checks" if row.checks and row.checks > 1 else "a check"
        why = f": {checks} not met, first {row.subject}: {row.check_name}: {row.observed},"
        why += f" expected {row.expected}"
        until = f"{row.published_at:%Y-%m-%d %H:%M} UTC" if row.published_at else None
        found.append(
            Alert(
                key=f"blocked:backfill:{row.backfill_id}" if of_backfill else "blocked:run",
                severity="ticket",
                owner=row.owner or _NOBODY,
                what=(
                    f"The gate blocks run {row.run_id}"
                    + (f" of backfill {row.backfill_id}" if of_backfill else "")
                    + (why if row.subject else "")
                )[:500],
                since=row.decided_at,
                impact=f"Marts stay as published at {until}." if until else "Nothing is published.",
                runbook="runbooks/gate-blocked-publish.md",
                look='make psql SQL="select subject, check_name, observed, expected, failing_rows'
                f' from ops.gate_results where run_id = {row.run_id} and not passed"',
            )
        )
    return found


def _warned(connection: database.Connection) -> list[Alert]:
    found = []
    for row in _rows(connection, _WARNED, []):
        checks = f"{row.checks} warnings" if row.checks > 1 else "a warning"
        found.append(
            Alert(
                key=f"warned:{row.owner or _NOBODY}",
                severity="log",
                owner=row.owner or _NOBODY,
                what=f"Run {row.run_id} is published with {checks}, first {row.first}"[:500],
                since=row.since,
                impact="Unusual, and within what may be published.",
                runbook="runbooks/gate-blocked-publish.md",
                look='make psql SQL="select subject, check_name, observed, expected, note'
                f' from ops.gate_results where run_id = {row.run_id} and not passed"',
            )
        )
    return found


def _held(connection: database.Connection) -> list[Alert]:
    rows = _rows(connection, "select * from ops.holds where lifted_at is null", [])
    return [
        Alert(
            key="hold",
            severity="log",
            owner=row.set_by,
            what=f"Publishing is held by {row.set_by}: {row.reason}",
            since=row.set_at,
            impact="What arrives is built and audited, and not published.",
            runbook="runbooks/roll-back.md",
            look="make history",
        )
        for row in rows
    ]


def _rows(connection: database.Connection, query: str, values: list[Any]) -> list[Any]:
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        return cursor.execute(query, values).fetchall()
