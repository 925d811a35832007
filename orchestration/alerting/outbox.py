"""Tell people what waits in `ops.alert_messages`, over the channels of its route, until it worked.

Reads the routes; writes what became of each message, in a transaction of its own. A channel that
is down is left for later, with longer and longer waits; nobody else waits for it, and no message is
lost. Killed in between: the message may be told twice.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.rows import namedtuple_row

from orchestration import console, database
from orchestration.alerting import routes
from orchestration.alerting.routes import STDOUT, Channel
from orchestration.settings import Settings

_BUDGET_SECONDS = 20.0
_MOST = 200
_FIRST_SECONDS, _LONGEST_SECONDS = 60, 3600
# The row stays locked while it is told: another process takes the next one.
_NEXT = """
    select messages.*, alerts.key, alerts.owner, alerts.since, alerts.impact, alerts.runbook,
        alerts.look, alerts.resolved_at
    from ops.alert_messages as messages inner join ops.alerts using (alert_id)
    where message_id in (select due.message_id from ops.due_messages as due)
    order by message_id limit 1
    for update of messages skip locked
"""
_KINDS = {"page": "failure", "ticket": "warning", "log": "info"}
_COLORS = {"page": "red", "ticket": "yellow", "log": "cyan"}


@dataclass
class Told:
    """What became of the messages: how many arrived, and why channels did not take theirs."""

    sent: int = 0
    down: dict[str, str] = field(default_factory=dict)


def send(settings: Settings, connection: database.Connection) -> Told:
    """Tell what is due.

    Raises:
        UsageError: the routes cannot be used; every message waits.
    """
    told = Told()
    if not connection.execute("select from ops.due_messages limit 1").rowcount:
        return told
    known = routes.load(settings)
    until = time.monotonic() + _BUDGET_SECONDS
    for _ in range(_MOST):
        with connection.transaction():
            with connection.cursor(row_factory=namedtuple_row) as cursor:
                message: Any = cursor.execute(_NEXT).fetchone()
            if message is None:
                break
            channels = known.of(message.severity, message.owner)
            _tell(settings, connection, message, channels, told)
        if time.monotonic() > until:
            break
    return told


def _tell(
    settings: Settings,
    connection: database.Connection,
    message: Any,
    channels: tuple[Channel, ...],
    told: Told,
) -> None:
    done, failed = list(message.told), []
    for channel in channels:
        if channel.name in done:
            continue
        if channel.name not in told.down and (reason := _over(settings, channel, message)):
            told.down[channel.name] = reason
        if channel.name in told.down:
            failed.append(f"{channel.name}: {told.down[channel.name]}")
        else:
            done.append(channel.name)
    told.sent += not failed
    wait = min(_FIRST_SECONDS * 2 ** min(message.attempts, 16), _LONGEST_SECONDS)
    connection.execute(
        "update ops.alert_messages set told = %s, attempts = attempts + 1, error = %s,"
        " state = case when %s then 'waiting' else 'sent' end,"
        " sent_at = case when %s then null else clock_timestamp() end,"
        " next_try_at = clock_timestamp() + make_interval(secs => %s) where message_id = %s",
        [done, "; ".join(failed) or None, bool(failed), bool(failed), wait, message.message_id],
    )


def _over(settings: Settings, channel: Channel, message: Any) -> str | None:
    """Tell over one channel; why it did not work, without secrets."""
    if channel.target == STDOUT:
        _print(message)
        return None
    try:
        url, secrets = channel.url(settings.project)
    except ValueError as error:
        return str(error)
    kind = "success" if message.news == "resolved" else _KINDS[message.severity]
    reason = _notify(url, title(message), body(message), kind)
    for secret in (url, *secrets):
        reason = reason and reason.replace(secret, "***")
    return reason


def _notify(url: str, title: str, body: str, kind: str) -> str | None:
    # Imported here: only who has something to tell needs it.
    import logging

    import apprise

    # Its complaints may hold the URL: they reach no log but ours.
    logging.getLogger("apprise").propagate = False
    with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as log:  # type: ignore[no-untyped-call]
        service = apprise.Apprise()
        if not service.add(url):
            return f"apprise cannot use its URL, which begins with {url.partition('://')[0]}://"
        try:
            arrived = service.notify(title=title, body=body, notify_type=apprise.NotifyType(kind))
        except Exception as error:  # a hundred services: none may keep the others' messages
            return type(error).__name__
        said = " ".join(log.getvalue().split())
    return None if arrived else said or "it did not take the message"


def title(message: Any) -> str:
    """`[page] what`; of a resolved one `[resolved] what`."""
    word = "resolved" if message.news == "resolved" else message.severity
    return f"[{word}] {message.what}"


def body(message: Any) -> str:
    """Everything that whoever hears of it has to know, a line each."""
    lines = {
        "since": _instant(message.since),
        "resolved": _instant(message.resolved_at) if message.news == "resolved" else "",
        "impact": message.impact,
        "owner": message.owner,
        "runbook": message.runbook,
        "look closer": message.look,
        "alert": f"{message.alert_id} ({message.key})",
    }
    return "\n".join(f"{name}: {text}" for name, text in lines.items() if text)


def _print(message: Any) -> None:
    color = "green" if message.news == "resolved" else _COLORS[message.severity]
    console.out.print(f"[bold {color}]   alert[/]  ", end="")
    console.out.print(title(message), markup=False)
    for line in [] if message.news == "resolved" else body(message).splitlines():
        console.out.print(f"          {line}", markup=False, style="dim")


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
