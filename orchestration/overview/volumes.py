"""How many rows each day of a source brought, and how many are usual.

Usual is what the gate's suites compare with (`ops.volumes`): the median of up to eight same
weekdays before, where there are at least four. Decides, touches nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

from orchestration.overview.punctuality import Arrival, first_shown

# The shares of the usual between which the suites of `expectations/` do not warn.
LOW, HIGH = 0.6, 1.4
_WEEKS, _LEAST = 8, 4


@dataclass(frozen=True)
class Volume:
    """The rows of one day; `usual` is None where too few days are there to compare with."""

    day: date
    rows: int
    usual: float | None

    @property
    def is_odd(self) -> bool:
        if self.usual is None:
            return False
        return not LOW * self.usual <= self.rows <= HIGH * self.usual


def of_source(arrivals: Sequence[Arrival]) -> list[Volume]:
    """The volumes of the days that a calendar shows, oldest first."""
    rows = {a.slice_date: a.rows_loaded for a in arrivals if a.delivery_id is not None}
    if not rows:
        return []
    first = first_shown(max(rows))
    return [Volume(day, rows[day], _usual(rows, day)) for day in sorted(rows) if day >= first]


def _usual(rows: dict[date, int], day: date) -> float | None:
    earlier = [day - timedelta(7 * week) for week in range(1, _WEEKS + 1)]
    found = [rows[each] for each in earlier if each in rows]
    return float(median(found)) if len(found) >= _LEAST else None
