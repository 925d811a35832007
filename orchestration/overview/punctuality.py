"""What came when, against what the contracts promise: one state per day of a source or of marts.

Decides, touches nothing. A promise counts from the first delivery of its source on: history that
was loaded at one go was late for nobody. A source that goes on promising, and has been silent for
longer than `SILENT_DAYS`, is taken for ended: its calendar ends with its last day, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from orchestration.ingesting.contracts import Contract

IN_TIME, LATE, HELD, MISSING, WAITING = "in time", "late", "held back", "missing", "not due yet"
MONTHS = 12
SILENT_DAYS = 60


# The promised days of a source, and the moment (UTC) at which each is late.
Dues = Mapping[date, datetime]


@dataclass(frozen=True)
class Arrival:
    """What the ledger knows of one day of a source.

    Attributes:
        first_delivery, received_at: of the first file that was loaded; None if none was.
        delivery_id: the active delivery; None where all are withdrawn.
    """

    source: str
    slice_date: date
    first_delivery: int | None
    received_at: datetime | None
    rejected: int
    delivery_id: int | None
    rows_loaded: int
    rows_quarantined: int


@dataclass(frozen=True)
class Published:
    """A publication, as far as time goes."""

    publication_id: int
    as_of: int
    published_at: datetime


@dataclass(frozen=True)
class Day:
    day: date
    state: str
    said: str


@dataclass(frozen=True)
class Calendar:
    """The days of one subject without gap, oldest first.

    Attributes:
        note: what a reader has to know about all of them.
    """

    subject: str
    days: tuple[Day, ...]
    note: str = ""

    @property
    def is_late(self) -> bool:
        """Whether the newest day that was due has not come."""
        due = [each.state for each in self.days if each.state != WAITING]
        return due[-1:] == [MISSING]

    @property
    def counts(self) -> dict[str, int]:
        """Days by state, in the order of the states."""
        found = [each.state for each in self.days]
        states = (IN_TIME, LATE, HELD, MISSING, WAITING)
        return {state: found.count(state) for state in states if state in found}


def dues_of(contract: Contract, start: date, now: datetime) -> dict[date, datetime]:
    """What the contract promises from `start` on, as far as it is over by `now`.

    Raises:
        ValueError: it promises no days; the message is for people.
    """
    sla = contract.sla
    if sla is None:
        raise ValueError("its contract promises nothing")
    if contract.is_snapshot or sla.unit not in ("hour", "day"):
        raise ValueError("its files are not of single days")
    today = now.astimezone(sla.zone).date()
    dues = dict[date, datetime]()
    for period in sla.periods(start, now):
        if period.first < today:  # of hours the last one counts
            dues[period.first] = max(period.due_at, dues.get(period.first, period.due_at))
    return dues


def of_source(
    source: str, dues: Dues, arrivals: Sequence[Arrival], now: datetime
) -> Calendar | None:
    """The calendar of a source; None before its first delivery."""
    loaded = [a for a in arrivals if a.delivery_id is not None and a.received_at]
    if not loaded:
        return None
    watched_from = min(a.received_at for a in loaded if a.received_at)
    newest = max(a.slice_date for a in loaded)
    promised = max(dues, default=newest)
    is_over = now.date() - promised > timedelta(SILENT_DAYS)
    is_silent = not is_over and now.date() - newest > timedelta(SILENT_DAYS)
    last = newest if is_silent else max(newest, promised)
    by_day = {arrival.slice_date: arrival for arrival in arrivals}
    first = max(min(by_day), first_shown(last))
    days = tuple(
        _judge(day, by_day.get(day), dues.get(day), watched_from, now)
        for day in _days(first, last)
        if day in by_day or day in dues
    )
    silence = f"nothing newer for {(now.date() - newest).days:,} days" if is_silent else ""
    note = f"promised until {promised}" if is_over else silence
    return Calendar(source, days, note)


def of_marts(
    marts: Sequence[str],
    arrivals: Mapping[str, Sequence[Arrival]],
    dues: Mapping[str, Dues],
    calendars: Mapping[str, Calendar],
    publications: Sequence[Published],
    now: datetime,
    after: timedelta | None,
) -> Calendar | None:
    """The calendar of marts that are made of the same sources; None if they have no days.

    Args:
        arrivals, dues, calendars: by source, of those that the marts are made of.
        publications: oldest first; the last one is what readers see.
        after: how long after the last of their sources they are due; None is never late.
    """
    if not calendars or not publications:
        return None
    by_day = {s: {a.slice_date: a for a in arrivals[s]} for s in calendars}
    shown = [each.day for calendar in calendars.values() for each in calendar.days]
    days = []
    for day in _days(first_shown(max(shown)), max(shown)):
        wanted = {s: by_day[s].get(day) for s in calendars if day in dues[s] or day in by_day[s]}
        due = max((dues[s][day] for s in wanted if day in dues[s]), default=None)
        if wanted and day >= min(shown):
            late_at = due + (after or timedelta()) if due else None
            judged = _judge_marts(day, wanted, late_at, publications, now)
            is_kept = judged.state != LATE or after is not None
            days.append(judged if is_kept else replace(judged, state=IN_TIME))
    names = f"{marts[0]} and {len(marts) - 1} more" if len(marts) > 1 else marts[0]
    return Calendar(names, tuple(days), f"made of {' and '.join(calendars)}")


def _judge(
    day: date, arrival: Arrival | None, due: datetime | None, watched_from: datetime, now: datetime
) -> Day:
    if arrival is None or arrival.delivery_id is None or arrival.received_at is None:
        if arrival is not None and arrival.rejected:
            return Day(day, HELD, "the file was rejected")
        if arrival is not None and arrival.received_at:
            return Day(day, MISSING, "the delivery was withdrawn")
        state = MISSING if due is None or due <= now else WAITING
        return Day(day, state, f"nothing came; due {due:%Y-%m-%d %H:%M} UTC" if due else "nothing")
    said = f"{arrival.rows_loaded:,} rows"
    # What came before anybody waited for it is late for nobody.
    is_late = due is not None and watched_from <= due < arrival.received_at
    if is_late and due is not None:
        said += f", {_length(arrival.received_at - due)} late"
    if arrival.rows_quarantined:
        return Day(day, HELD, f"{said}, {arrival.rows_quarantined:,} rows quarantined")
    return Day(day, LATE if is_late else IN_TIME, said)


def _judge_marts(
    day: date,
    wanted: Mapping[str, Arrival | None],
    due: datetime | None,
    publications: Sequence[Published],
    now: datetime,
) -> Day:
    absent = sorted(s for s, a in wanted.items() if a is None or a.delivery_id is None)
    is_due = due is None or due <= now
    if absent:
        return Day(day, MISSING if is_due else WAITING, f"without {' and '.join(absent)}")
    newest = max(a.first_delivery or 0 for a in wanted.values() if a)
    first = next((p for p in publications if p.as_of >= newest), None)
    if first is None or publications[-1].as_of < newest:
        return Day(day, MISSING if is_due else WAITING, "delivered, not published")
    said = f"in publication {first.publication_id}"
    if due and publications[0].published_at <= due < first.published_at:
        return Day(day, LATE, f"{said}, {_length(first.published_at - due)} late")
    if any(a.rows_quarantined for a in wanted.values() if a):
        return Day(day, HELD, f"{said}, without what is in quarantine")
    return Day(day, IN_TIME, said)


def _days(first: date, last: date) -> Iterable[date]:
    return (first + timedelta(n) for n in range((last - first).days + 1))


def _length(span: timedelta) -> str:
    hours = span.total_seconds() / 3600
    return f"{hours / 24:,.0f} days" if hours >= 48 else f"{hours:,.1f} h"


def first_shown(last: date) -> date:
    """The first day of a calendar that ends at `last`: twelve months, this one included."""
    months = last.year * 12 + last.month - MONTHS
    return date(months // 12, months % 12 + 1, 1)


def arrivals_by_source(rows: Iterable[Any]) -> dict[str, list[Arrival]]:
    """The rows of `days.sql` by their source."""
    found: dict[str, list[Arrival]] = {}
    for row in rows:
        found.setdefault(row.source, []).append(Arrival(*row))
    return found
