"""`make watch`: look once at everything that was promised, raise and resolve alerts, tell people.

Reads what `lateness` and `alerting` read; writes alerts and their messages. Killed: the next look
finds the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime

from orchestration import database
from orchestration.alerting import alerts, outbox, routes, trouble
from orchestration.alerting.alerts import Alert
from orchestration.settings import Settings
from orchestration.watching import lateness
from orchestration.watching import narrate as narrate_watch
from orchestration.watching.lateness import Look, MartState, SourceState, Wanted
from orchestration.watching.sla import Period

_LATE = "runbooks/source-late.md"
_UNPUBLISHED = "runbooks/publication-late.md"
_SHOWN = 3


def look(settings: Settings, connection: database.Connection, at: datetime | None = None) -> Look:
    """What is due, late and missing, now or as if it were `at`; writes nothing.

    Raises:
        UsageError: a contract cannot be read.
    """
    return lateness.look(settings, connection, at or datetime.now(UTC))


def settle(connection: database.Connection, found: Look) -> None:
    """Make the open alerts about lateness those that `found` calls for."""
    alerts.settle(connection, "lateness", alerts_of(found))


def watch(settings: Settings, connection: database.Connection) -> None:
    """Look, show it, raise and resolve alerts, tell what waits.

    Raises:
        UsageError: a contract or the routes cannot be read; what could be found is an alert.
    """
    trouble.settle(settings, connection)
    found = look(settings, connection)
    narrate_watch.show_look(found)
    settle(connection, found)
    narrate_watch.show_alerts(alerts.open_alerts(connection))
    routes.load(settings)  # wrong ones are to be known before there is something to tell
    trouble.say_down(outbox.send(settings, connection))


def alerts_of(found: Look) -> list[Alert]:
    """What is wrong: pages for marts, the rest for the log."""
    return [*_pages(found.marts), *_late(found)]


def _pages(marts: Iterable[MartState]) -> list[Alert]:
    """One alert for all marts of an owner that lack the same source, or a publication."""
    groups: dict[tuple[str, str], list[tuple[MartState, Wanted]]] = defaultdict(list)
    for mart in marts:
        for wanted in mart.wanted:
            cause = "publication" if wanted.is_there else wanted.source
            groups[mart.owner, cause].append((mart, wanted))
    return [_page(owner, cause, hits) for (owner, cause), hits in sorted(groups.items())]


def _page(owner: str, cause: str, hits: list[tuple[MartState, Wanted]]) -> Alert:
    names = sorted({mart.mart for mart, _ in hits})
    missed = any(wanted.state == "missed" for _, wanted in hits)
    slices = sorted({(wanted.source, wanted.period) for _, wanted in hits})
    due = min(wanted.due_at for _, wanted in hits)
    lacking = _some([f"{source} of {period}" for source, period in slices])
    waits = "arrived and not published" if cause == "publication" else "not delivered"
    verb = "missed its" if missed else "will miss its"
    if len(names) > 1:
        verb = "missed their" if missed else "will miss their"
    newest = min((mart.newest for mart, _ in hits if mart.newest), default=None)
    return Alert(
        key=f"mart-due:{owner}:{cause}",
        severity="page",
        owner=owner,
        what=f"{_some(names)} {verb} due time ({due:%Y-%m-%d %H:%M} UTC): {lacking} {waits}",
        since=due if missed else min(wanted.period.due_at for _, wanted in hits),
        impact=f"Readers see data up to {newest}." if newest else "Readers see no data.",
        runbook=_UNPUBLISHED if cause == "publication" else _LATE,
        look="make watch",
    )


def _late(found: Look) -> list[Alert]:
    made = []
    for source in found.sources:
        needed = [m.mart for m in found.marts if source.source in m.sources and m.due_after]
        impact = (
            f"Marts that are made of it: {_some(sorted(needed))}."
            if needed
            else "No mart with a due time is made of it."
        )
        for state, said in (("late", "has not arrived"), ("missing", "is missing")):
            periods = source.having(state)
            if periods:
                made.append(_lacking(source, state, said, periods, impact))
    return made


def _lacking(
    source: SourceState, state: str, said: str, periods: tuple[Period, ...], impact: str
) -> Alert:
    due = min(period.due_at for period in periods)
    newest_first = [str(period) for period in reversed(periods)]
    return Alert(
        key=f"{state}:{source.source}",
        severity="log",
        owner=source.owner,
        what=f"{source.source} of {_some(newest_first)} {said}; due {due:%Y-%m-%d %H:%M} UTC"
        + (" and later" if len(periods) > 1 else ""),
        since=due,
        impact=impact,
        runbook=_LATE,
        look='make psql SQL="select uri, outcome, reason, recorded_at from ops.deliveries'
        f" where source = '{source.source}' order by delivery_id desc limit 5\"",
    )


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
