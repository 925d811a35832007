"""Ranges of dates: how a backfill's range falls into chunks, and which of its days are missing.

Pure: reads and writes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from orchestration.errors import UsageError
from orchestration.planning.graph import Dates

# A chunk costs some seconds besides its rows; of this many rows they are a small part.
ROWS_PER_CHUNK = 1_000_000
_FEWEST_DAYS = {"day": 1, "week": 7, "month": 28}
_DAY = timedelta(1)


@dataclass(frozen=True, order=True)
class Range:
    """Dates without gaps, both ends included."""

    first: date
    last: date

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def dates(self) -> Dates:
        return {self.first + timedelta(n) for n in range(self.days)}


def split(whole: Range, chunk: str, rows: Mapping[date, int]) -> list[Range]:
    """The chunks of a range, oldest first.

    Args:
        chunk: day, week (from Monday), month, a number of days such as `7d`, or auto: as few equal
            parts as hold `ROWS_PER_CHUNK` rows each, cut between months where that is possible.
        rows: how many there are at each date.

    Raises:
        UsageError: there is no such chunk, or it is larger than the range.
    """
    if chunk == "auto":
        return _by_rows(whole, rows)
    days = re.fullmatch(r"([1-9]\d{0,4})d", chunk)
    if not days and chunk not in _FEWEST_DAYS:
        raise UsageError(
            f"A chunk cannot be {chunk!r}.",
            kept="Nothing was changed.",
            todo="CHUNK is auto, day, week, month or a number of days such as 7d.",
        )
    fewest = int(days[1]) if days else _FEWEST_DAYS[chunk]
    if fewest > whole.days:
        raise UsageError(
            f"A chunk of {chunk} is larger than the range, which has {whole.days} days.",
            kept="Nothing was changed.",
            todo="Take a smaller CHUNK, or leave it out.",
        )
    return list(_cut(whole, lambda first: _end(first, chunk, fewest)))


def gaps(whole: Range, delivered: Mapping[str, Dates]) -> dict[str, list[Range]]:
    """The days of the range without a delivery, by source; only sources that miss some."""
    missing = {source: merge(whole.dates - dates) for source, dates in delivered.items()}
    return {source: found for source, found in sorted(missing.items()) if found}


def merge(dates: Iterable[date]) -> list[Range]:
    """The dates as ranges without gaps, oldest first."""
    found: list[Range] = []
    for day in sorted(dates):
        if found and found[-1].last + _DAY == day:
            found[-1] = Range(found[-1].first, day)
        else:
            found.append(Range(day, day))
    return found


def _cut(whole: Range, end: Callable[[date], date]) -> Iterator[Range]:
    first = whole.first
    while first <= whole.last:
        last = min(end(first), whole.last)
        yield Range(first, last)
        first = last + _DAY


def _end(first: date, chunk: str, days: int) -> date:
    if chunk == "week":
        return first + timedelta(6 - first.weekday())
    if chunk == "month":
        return (first.replace(day=1) + timedelta(31)).replace(day=1) - _DAY
    return first + timedelta(days - 1)


def _by_rows(whole: Range, rows: Mapping[date, int]) -> list[Range]:
    total = sum(rows.get(day, 0) for day in whole.dates)
    parts = max(1, -(-total // ROWS_PER_CHUNK))
    found: list[Range] = []
    taken = 0
    months = list(_cut(whole, lambda first: _end(first, "month", 0)))
    for piece in months if parts == 1 else _pieces(months, rows, total // parts):
        count = sum(rows.get(day, 0) for day in piece.dates)
        if found and taken + count / 2 <= total / parts:
            found[-1] = Range(found[-1].first, piece.last)
            taken += count
        else:
            found.append(piece)
            taken = count
    return found


def _pieces(months: list[Range], rows: Mapping[date, int], most: int) -> Iterator[Range]:
    """Months; days of a month that alone is too large for a chunk."""
    for month in months:
        if sum(rows.get(day, 0) for day in month.dates) > most:
            yield from (Range(day, day) for day in sorted(month.dates))
        else:
            yield month
