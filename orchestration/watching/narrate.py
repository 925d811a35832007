"""What `make watch` shows: sources and marts against what was promised, and open alerts.

Writes the terminal, nothing else.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rich.table import Table

from orchestration import console
from orchestration.alerting.alerts import OpenAlert
from orchestration.watching.lateness import Look, MartState, SourceState

_COLORS = {
    "in time": "green", "complete": "green", "late": "yellow", "missing": "yellow",
    "will miss": "red", "missed": "red", "no promise": "dim", "page": "red", "ticket": "yellow",
    "log": "cyan",
}  # fmt: skip


def show_look(found: Look) -> None:
    console.out.print()
    console.show(_sources(found))
    for source in found.sources:
        if source.sla is None:
            console.say(
                "watch",
                f"{source.source}: its contract promises nothing (slaProperties), so it is"
                " never late; docs/contracts.md says how to add it",
            )
    console.out.print()
    if found.marts:
        console.show(_marts(found))
        console.out.print()
    else:
        console.say("watch", "no mart is published yet")


def show_alerts(found: list[OpenAlert]) -> None:
    if not found:
        console.say("watch", "no alert is open")
        return
    table = _table("Open alerts", "number", "severity", "since (UTC)", "owner", "what")
    for alert in found:
        what = alert.what
        if alert.silenced_until:
            what += f" (silenced until {_instant(alert.silenced_until)})"
        table.add_row(
            str(alert.alert_id), _colored(alert.severity), _instant(alert.since), alert.owner,
            what.replace("[", r"\["),
        )  # fmt: skip
    console.show(table)


def say_alerts(found: list[OpenAlert]) -> None:
    """A line for each open alert."""
    for alert in found:
        silent = (
            f"; silenced until {_instant(alert.silenced_until)}" if alert.silenced_until else ""
        )
        console.say("alert", f"{alert.alert_id}, {alert.severity}: {alert.what}{silent}")


def _sources(found: Look) -> Table:
    table = _table(
        f"Sources at {_instant(found.at)} UTC", "source", "state", "newest", "late", "missing",
        "next due (UTC)", "arrival to publication", "owner",
    )  # fmt: skip
    for source in found.sources:
        upcoming = [period.due_at for period in source.having("due")]
        table.add_row(
            source.source,
            _colored(_state(source, found.at)),
            str(source.newest or "never"),
            ", ".join(map(str, source.having("late"))),
            f"{len(source.having('missing')) or ''}",
            _instant(min(upcoming)) if upcoming else "",
            _wait(source),
            source.owner,
        )
    return table


def _marts(found: Look) -> Table:
    table = _table(
        "Marts", "mart", "state", "published up to", "changed (UTC)", "missed or will miss", "owner"
    )
    for mart in found.marts:
        table.add_row(
            mart.mart,
            _colored(mart.state),
            str(mart.newest or ""),
            _instant(mart.changed_at) if mart.changed_at else "",
            _wanted(mart),
            mart.owner,
        )
    return table


def _state(source: SourceState, at: datetime) -> str:
    if source.sla is None:
        return "no promise"
    for state in ("late", "missing"):
        if source.having(state):
            return state
    last = source.sla.last
    return "complete" if last and last < at.astimezone(source.sla.zone).date() else "in time"


def _wanted(mart: MartState) -> str:
    counts: dict[str, int] = {}
    for wanted in mart.wanted:
        counts[wanted.source] = counts.get(wanted.source, 0) + 1
    return ", ".join(f"{count:,} of {source}" for source, count in counts.items())


def _wait(source: SourceState) -> str:
    if source.usual_wait is None or source.long_wait is None:
        return ""
    return f"{_length(source.usual_wait)} (9 of 10 within {_length(source.long_wait)})"


def _length(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours:,} h {minutes:02} min" if hours else f"{minutes} min"


def _table(title: str, *names: str) -> Table:
    table = Table(
        title=f"[bold]{title}", title_justify="left", box=None, padding=(0, 1), pad_edge=True
    )
    for name in names:
        table.add_column(name, no_wrap=name not in ("what",))
    return table


def _colored(state: str) -> str:
    return f"[{_COLORS[state]}]{state}[/]"


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"
