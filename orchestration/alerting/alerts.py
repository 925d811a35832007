"""What is wrong, once: opened when it is found first, resolved when it is found no more.

Writes `ops.alerts`, `ops.alert_messages` and `ops.silences`; each call is one transaction. Killed:
nothing is lost, because trouble is found in the ledger and on the calendar, again by the next call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from orchestration import database
from orchestration.errors import UsageError
from orchestration.ingesting.deliveries import audit
from orchestration.settings import Settings

SEVERITIES = ("page", "ticket", "log")
_LONGEST = timedelta(days=90)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Alert:
    """Something is wrong.

    Attributes:
        key: what is wrong with what; one open alert each.
        severity: page (a reader's promise is at risk), ticket or log.
        since: when it began.
        impact: what readers notice.
        runbook: path of the page that says what to do.
        look: the command to look closer.
    """

    key: str
    severity: str
    owner: str
    what: str
    since: datetime
    impact: str
    runbook: str
    look: str


@dataclass(frozen=True)
class OpenAlert(Alert):
    """An alert that is not resolved."""

    alert_id: int
    origin: str
    silenced_until: datetime | None


def settle(
    connection: database.Connection, origin: str, found: Iterable[Alert], *, resolves: bool = True
) -> None:
    """Open what is new, note what goes on, resolve what `origin` found before and finds no more.

    Args:
        resolves: False where `found` is not all that is wrong.
    """
    rows = [asdict(alert) | {"since": alert.since.isoformat()} for alert in found]
    connection.execute("select ops.settle_alerts(%s, %s, %s)", [origin, Jsonb(rows), resolves])


def open_alerts(connection: database.Connection) -> list[OpenAlert]:
    """The open alerts, worst first."""
    with connection.cursor(row_factory=class_row(OpenAlert)) as cursor:
        return cursor.execute(
            "select key, severity, owner, what, since, impact, runbook, look, alert_id, origin,"
            " silenced_until from ops.open_alerts"
            " order by ops.severity_rank(severity) desc, since, alert_id"
        ).fetchall()


@database.acts_as("publisher")
def silence(
    settings: Settings, connection: database.Connection, alert: str, until: str, reason: str
) -> tuple[str, datetime]:
    """Tell nobody of an alert until then; its key, and when that ends.

    Args:
        alert: number or key of an open alert, or the key of one that may come.
        until: an instant (UTC where no zone is said), or how long: 45m, 3h, 2d.

    Raises:
        UsageError: there is no such alert, or `until` cannot be read or lies too far away.
    """
    if not reason.strip():
        raise _wrong("A silence needs a reason.")
    key = _key(connection, alert)
    end = _end(until, datetime.now(UTC))
    with connection.transaction():
        connection.execute(
            "insert into ops.silences (key, until, reason, set_by) values (%s, %s, %s, %s)",
            [key, end, reason, settings.requested_by],
        )
        why = f"{key} until {end:%Y-%m-%d %H:%M} UTC: {reason}"
        audit(connection, settings.requested_by, "silence", None, why)
    return key, end


def _key(connection: database.Connection, alert: str) -> str:
    known = connection.execute(
        "select key from ops.alerts where alert_id::text = %(alert)s or key = %(alert)s"
        " order by alert_id desc limit 1",
        {"alert": alert},
    ).fetchone()
    if known:
        return str(known[0])
    if ":" in alert:
        return alert
    raise _wrong(f"There is no alert {alert!r}.")


def _end(text: str, now: datetime) -> datetime:
    length = re.fullmatch(r"(\d{1,4})([mhd])", text.strip())
    try:
        if length:
            end = now + timedelta(**{_UNITS[length[2]]: int(length[1])})
        else:
            given = datetime.fromisoformat(text.strip())
            end = given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    except ValueError:
        raise _wrong(f"UNTIL is {text!r}: neither a time nor a length.") from None
    if end > now + _LONGEST:
        raise _wrong(f"A silence lasts at most {_LONGEST.days} days.")
    return end


def _wrong(what: str) -> UsageError:
    return UsageError(
        what,
        kept="Nothing was changed.",
        todo='`make watch` lists the alerts; make silence ALERT=3 UNTIL=4h REASON="...",'
        ' or UNTIL="2026-01-31 08:00" (UTC).',
    )
