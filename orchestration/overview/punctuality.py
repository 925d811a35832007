"""What came when, against what the contracts promise: one state per day of a source or of marts.

Decides, touches nothing. A promise counts from the first delivery of its source on: history that
was loaded at one go was late for nobody. A source that has been silent for longer than
`SILENT_DAYS` is taken for ended: its calendar ends with its last day, and the page says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from orchestration.contracts import Contract

IN_TIME, LATE, HELD, MISSING, WAITING = "in time", "late", "held back", "missing", "not due yet"
MONTHS = 12
SILENT_DAYS = 60
# A mart is due this long after the last of its sources.
_PUBLISHING = timedelta(hours=1)


@dataclass(frozen=True)
class Promise:
    """When a day of a source is due.

    Attributes:
        at: local time of day, on the day after.
        zone: of the provider's clock.
    """

    at: time
    zone: ZoneInfo

    def due(self, day: date) -> datetime:
        """The moment at which the slice of `day` is late."""
        local = datetime.combine(day + timedelta(1), self.at, tzinfo=self.zone)
        return local.astimezone(UTC)


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
    def counts(self) -> dict[str, int]:
        """Days by state, in the order of the states."""
        found = [each.state for each in self.days]
        states = (IN_TIME, LATE, HELD, MISSING, WAITING)
        return {state: found.count(state) for state in states if state in found}


def promise_of(contract: Contract) -> Promise:
    """What the contract's `slaProperties` say about a day.

    Raises:
        ValueError: they say nothing, or what cannot be read; the message is for people.
    """
    content = yaml.safe_load(contract.file.read_text(encoding="utf-8"))
    said = {str(item["property"]): item["value"] for item in content.get("slaProperties") or []}
    if contract.is_snapshot or "{dd}" not in contract.path:
        raise ValueError("its files are not of single days")
    if "timeOfAvailability" not in said:
        raise ValueError("its contract promises no timeOfAvailability")
    try:
        at = time.fromisoformat(str(said["timeOfAvailability"]))
        return Promise(at.replace(tzinfo=None), ZoneInfo(str(said.get("timezone", "UTC"))))
    except (ValueError, KeyError) as error:
        raise ValueError(f"its contract's slaProperties cannot be read: {error}") from error


def of_source(
    source: str, promise: Promise, arrivals: Sequence[Arrival], now: datetime
) -> Calendar | None:
    """The calendar of a source; None before its first delivery."""
    loaded = [a for a in arrivals if a.delivery_id is not None and a.received_at]
    if not loaded:
        return None
    watched_from = min(a.received_at for a in loaded if a.received_at)
    newest, last = _end(promise, max(a.slice_date for a in loaded), now)
    by_day = {arrival.slice_date: arrival for arrival in arrivals}
    first = max(min(by_day), first_shown(last))
    days = tuple(
        _judge(day, by_day.get(day), promise.due(day), watched_from, now)
        for day in _days(first, last)
    )
    silent = (now.date() - newest).days
    note = f"nothing newer for {silent:,} days" if last == newest and silent > SILENT_DAYS else ""
    return Calendar(source, days, note)


def of_marts(
    marts: Sequence[str],
    sources: Sequence[str],
    calendars: Mapping[str, Calendar],
    arrivals: Mapping[str, Sequence[Arrival]],
    promises: Mapping[str, Promise],
    publications: Sequence[Published],
    now: datetime,
) -> Calendar | None:
    """The calendar of marts that are made of the same `sources`; None if none has days.

    Args:
        calendars, arrivals, promises: by source; sources without a promise have no days.
        publications: oldest first; the last one is what readers see.
    """
    dated = [source for source in sources if source in calendars]
    if not dated or not publications:
        return None
    by_day = {s: {a.slice_date: a for a in arrivals[s]} for s in dated}
    states = {s: {d.day: d for d in calendars[s].days} for s in dated}
    first = max(min(states[s]) for s in dated)
    last = max(max(states[s]) for s in dated)
    days = tuple(
        _judge_marts(
            day,
            {s: by_day[s].get(day) for s in dated},
            [states[s][day] for s in dated if day in states[s]],
            max(promises[s].due(day) for s in dated) + _PUBLISHING,
            publications,
            now,
        )
        for day in _days(first, last)
    )
    names = f"{marts[0]} and {len(marts) - 1} more" if len(marts) > 1 else marts[0]
    return Calendar(names, days, f"made of {' and '.join(dated)}")


def _end(promise: Promise, newest: date, now: datetime) -> tuple[date, date]:
    """The newest day that came, and the last one to show."""
    if now.date() - newest > timedelta(SILENT_DAYS):
        return newest, newest
    last = newest
    while promise.due(last + timedelta(1)) <= now:
        last += timedelta(1)
    return newest, last


def _judge(
    day: date, arrival: Arrival | None, due: datetime, watched_from: datetime, now: datetime
) -> Day:
    if arrival is None or arrival.delivery_id is None or arrival.received_at is None:
        if arrival is not None and arrival.rejected:
            return Day(day, HELD, "the file was rejected")
        if arrival is not None and arrival.received_at:
            return Day(day, MISSING, "the delivery was withdrawn")
        state = MISSING if due <= now else WAITING
        return Day(day, state, f"nothing came; due {due:%Y-%m-%d %H:%M} UTC")
    said = f"{arrival.rows_loaded:,} rows"
    is_late = arrival.received_at > due and due >= watched_from
    if is_late:
        said += f", {_length(arrival.received_at - due)} late"
    if arrival.rows_quarantined:
        return Day(day, HELD, f"{said}, {arrival.rows_quarantined:,} rows quarantined")
    return Day(day, LATE if is_late else IN_TIME, said)


def _judge_marts(
    day: date,
    arrivals: Mapping[str, Arrival | None],
    sources: Sequence[Day],
    due: datetime,
    publications: Sequence[Published],
    now: datetime,
) -> Day:
    ids = [a.first_delivery for a in arrivals.values() if a and a.delivery_id and a.first_delivery]
    absent = sorted(s for s, a in arrivals.items() if a is None or a.delivery_id is None)
    if absent:
        return Day(day, MISSING if due <= now else WAITING, f"without {' and '.join(absent)}")
    newest = max(ids)
    shown = [p for p in publications if p.as_of >= newest]
    if not shown or publications[-1].as_of < newest:
        return Day(day, MISSING if due <= now else WAITING, "delivered, not published")
    first = shown[0]
    said = f"in publication {first.publication_id}"
    # Late only where somebody waited: a source's history comes at one go.
    if first.published_at > due and due >= publications[0].published_at:
        return Day(day, LATE, f"{said}, {_length(first.published_at - due)} late")
    if any(each.state == HELD for each in sources):
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
