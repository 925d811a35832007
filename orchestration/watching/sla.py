"""What a provider promised: which slices there will be, and until when each has to be there.

Pure: reads and writes nothing. Dates and times of day are the provider's; instants are UTC.
`docs/contracts.md` lists the properties.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orchestration.ingesting.contracts import demand

# Properties of the standard that mean something here; others are for people.
_READ = ("frequency", "timeOfAvailability", "latency", "generalAvailability", "endOfLife")
CUSTOM = ("timeZone", "sliceDays", "deliveryDays", "holidays")
_UNITS = {
    "h": "hour", "hour": "hour", "hours": "hour", "d": "day", "day": "day", "days": "day",
    "w": "week", "week": "week", "weeks": "week", "m": "month", "month": "month",
    "months": "month", "y": "year", "yr": "year", "year": "year", "years": "year",
}  # fmt: skip
_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EVERY_DAY = frozenset(range(7))
UTC_ZONE = ZoneInfo("UTC")
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, order=True)
class Period:
    """What one slice has to be about: the dates from `first` to before `until`.

    Attributes:
        hour: of hourly slices; else 0.
        due_at: the instant (UTC) until which it has to be there.
    """

    first: date
    hour: int
    until: date
    due_at: datetime

    def __str__(self) -> str:
        return f"{self.first} {self.hour:02}h" if self.until == self.first else str(self.first)


@dataclass(frozen=True)
class Sla:
    """When a source's slices are due.

    Attributes:
        every, unit: how often: each so many hours, days, weeks, months or years.
        at: the time of day until which a slice is due; None means the end of the day.
        latency: how long after a slice's end it is due: whole days, or hours of hourly ones.
        zone: the provider's; all dates and times of day are meant there.
        first, last: the first and last date that a slice was promised for; None means open.
        slice_days: weekdays (Monday is 0) that have a slice.
        delivery_days: weekdays on which slices arrive; what falls on another is due on the next.
        holidays: dates without slice and without delivery.
    """

    every: int
    unit: str
    at: time | None = None
    latency: int = 0
    zone: ZoneInfo = UTC_ZONE
    first: date | None = None
    last: date | None = None
    slice_days: frozenset[int] = _EVERY_DAY
    delivery_days: frozenset[int] = _EVERY_DAY
    holidays: frozenset[date] = frozenset()

    def periods(self, start: date, until: datetime) -> Iterator[Period]:
        """All promised slices from `start` on that are due, or begin, before `until`."""
        begin = self._aligned(max(start, self.first) if self.first else start)
        today = until.astimezone(self.zone).date()
        while begin <= today and (self.last is None or begin <= self.last):
            after = self._next(begin)
            if self.unit == "hour":
                yield from self._hours(begin, until)
            elif self.unit != "day" or self._has_slice(begin):
                yield Period(begin, 0, after, self._due(after))
            begin = after

    def _aligned(self, day: date) -> date:
        """The first date of the period that holds `day`."""
        if self.first is not None and self.unit in ("day", "week"):
            length = self.every * (7 if self.unit == "week" else 1)
            return day - timedelta((day - self.first).days % length)
        if self.unit == "week":
            return day - timedelta(day.weekday())
        if self.unit in ("month", "year"):
            anchor = self.first or date(day.year, 1, 1)
            months = (day.year - anchor.year) * 12 + day.month - anchor.month
            length = self.every * (12 if self.unit == "year" else 1)
            return _plus_months(anchor.replace(day=1), months - months % length)
        return day

    def _next(self, begin: date) -> date:
        if self.unit in ("month", "year"):
            return _plus_months(begin, self.every * (12 if self.unit == "year" else 1))
        return begin + timedelta({"hour": 1, "day": self.every, "week": 7 * self.every}[self.unit])

    def _has_slice(self, day: date) -> bool:
        return day.weekday() in self.slice_days and day not in self.holidays

    def _due(self, end: date) -> datetime:
        """When what ends before the date `end` is due."""
        day = end + timedelta(self.latency)
        while day.weekday() not in self.delivery_days or day in self.holidays:
            day += timedelta(1)
        local = datetime.combine(day if self.at else day + timedelta(1), self.at or time())
        # An hour that clocks skip is taken as if they had not moved yet; of two, the first counts.
        return local.replace(tzinfo=self.zone).astimezone(UTC)

    def _hours(self, day: date, until: datetime) -> Iterator[Period]:
        if not self._has_slice(day):
            return
        for hour in range(0, 24, self.every):
            local = datetime.combine(day, time(hour), self.zone)
            began = local.astimezone(UTC)
            if began.astimezone(self.zone).hour == hour and began < until:  # else clocks skip it
                # Of an hour that comes twice, the file is complete after the second.
                ended = local.replace(fold=1).astimezone(UTC) + self.every * _HOUR
                yield Period(day, hour, day, ended + self.latency * _HOUR)


def read(listed: Mapping[str, tuple[Any, str]], custom: Mapping[Any, Any]) -> Sla | None:
    """What the standard's `slaProperties` and our own promise; None where nothing says how often.

    Args:
        listed: value and unit by property.

    Raises:
        ValueError: a value makes no sense; the message names the property.
    """
    given = {name: listed[name] for name in _READ if name in listed}
    if "frequency" not in given:
        others = sorted([*given, *(name for name in CUSTOM if name in custom)])
        demand(not others, f"slaProperties lack frequency, which {', '.join(others)} needs")
        return None
    every, unit = _whole("frequency", *given["frequency"]), given["frequency"][1]
    demand(every > 0, "frequency must be 1 or more")
    demand(unit in _UNITS, f"frequency has an unknown unit {unit!r}; known: h, d, w, m, y")
    hourly = _UNITS[unit] == "hour"
    demand(not hourly or 24 % every == 0, "frequency in hours must divide the day")
    at = _time(given["timeOfAvailability"][0]) if "timeOfAvailability" in given else None
    demand(not (hourly and at), "timeOfAvailability means nothing for an hourly frequency")
    found = Sla(
        every=every,
        unit=_UNITS[unit],
        at=at,
        latency=_latency(given, hourly=hourly),
        zone=_zone(custom.get("timeZone", "UTC")),
        first=_date("generalAvailability", given),
        last=_date("endOfLife", given),
        slice_days=_days("sliceDays", custom),
        delivery_days=_days("deliveryDays", custom),
        holidays=frozenset(_one_date("holidays", day) for day in custom.get("holidays", ())),
    )
    if found.first and found.last:
        demand(found.first <= found.last, "endOfLife lies before generalAvailability")
    whole_days = found.slice_days == _EVERY_DAY or found.unit in ("hour", "day")
    demand(whole_days, "sliceDays means nothing for this frequency")
    return found


def _latency(given: Mapping[str, tuple[Any, str]], *, hourly: bool) -> int:
    if "latency" not in given:
        return 1 if hourly else 0
    value, unit = given["latency"]
    wanted = "hour" if hourly else "day"
    demand(_UNITS.get(unit) == wanted, f"latency must be in {wanted}s, as frequency is")
    return _whole("latency", value, unit)


def _whole(name: str, value: Any, _unit: str) -> int:
    text = str(value)
    demand(text.isdigit(), f"{name} is {value!r}, but must be a whole number")
    return int(text)


def _time(value: Any) -> time:
    fits = isinstance(value, str) and re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value)
    demand(
        bool(fits),
        f'timeOfAvailability is {value!r}, but must be like "06:00", in quotes; the zone is'
        " customProperties' timeZone",
    )
    return time.fromisoformat(value)


def _zone(value: Any) -> ZoneInfo:
    try:
        return ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"timeZone {value!r} is unknown; it is like America/New_York") from error


def _date(name: str, given: Mapping[str, tuple[Any, str]]) -> date | None:
    return _one_date(name, given[name][0]) if name in given else None


def _one_date(name: str, value: Any) -> date:
    try:
        return date.fromisoformat(str(value))
    except ValueError as error:
        raise ValueError(f"{name} is {value!r}, but must be a date like 2026-01-31") from error


def _days(name: str, custom: Mapping[Any, Any]) -> frozenset[int]:
    if name not in custom:
        return _EVERY_DAY
    given = custom[name] if isinstance(custom[name], list) else [custom[name]]
    unknown = [day for day in given if day not in _WEEK]
    demand(bool(given) and not unknown, f"{name} must list days of {', '.join(_WEEK)}")
    return frozenset(_WEEK.index(day) for day in given)


def _plus_months(first: date, months: int) -> date:
    count = first.year * 12 + first.month - 1 + months
    return date(count // 12, count % 12 + 1, 1)
