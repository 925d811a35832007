"""When slices are due: by the provider's calendar and clock, as instants in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from orchestration.watching import sla
from orchestration.watching.lateness import slots
from orchestration.watching.sla import Sla

NEW_YORK = ZoneInfo("America/New_York")
DAILY = Sla(1, "day", at=time(6), zone=NEW_YORK)
WORKING = frozenset(range(5))


def due(promise: Sla, first: date, days: int = 7) -> dict[str, str]:
    """When each slice of some days is due, `MM-DD HH:MM` in UTC."""
    until = datetime.combine(first + timedelta(days), time(), promise.zone)
    return {str(p): f"{p.due_at:%m-%d %H:%M}" for p in promise.periods(first, until)}


def test_a_day_is_due_at_the_providers_clock_on_both_sides_of_the_change() -> None:
    assert due(DAILY, date(2013, 3, 8), 3) == {
        "2013-03-08": "03-09 11:00",
        "2013-03-09": "03-10 10:00",  # the clocks went forward that night
        "2013-03-10": "03-11 10:00",
        "2013-03-11": "03-12 10:00",
    }
    assert due(DAILY, date(2013, 11, 2), 0) == {"2013-11-02": "11-03 11:00"}


def test_an_hour_that_is_skipped_counts_and_of_two_the_first_does() -> None:
    at_half_past_two = Sla(1, "day", at=time(2, 30), zone=NEW_YORK)
    assert due(at_half_past_two, date(2013, 3, 9), 0) == {"2013-03-09": "03-10 07:30"}
    at_half_past_one = Sla(1, "day", at=time(1, 30), zone=NEW_YORK)
    assert due(at_half_past_one, date(2013, 11, 2), 0) == {"2013-11-02": "11-03 05:30"}


def test_without_a_time_of_day_it_is_due_at_the_days_end() -> None:
    assert due(Sla(1, "day"), date(2013, 1, 1), 0) == {"2013-01-01": "01-03 00:00"}
    late = Sla(1, "day", at=time(6), latency=2)
    assert due(late, date(2013, 1, 1), 0) == {"2013-01-01": "01-04 06:00"}


def test_what_is_due_at_a_weekend_or_holiday_is_due_on_the_next_working_day() -> None:
    office = Sla(1, "day", at=time(6), delivery_days=WORKING)
    friday = date(2013, 3, 1)
    assert due(office, friday, 3) == {
        "2013-03-01": "03-04 06:00",
        "2013-03-02": "03-04 06:00",
        "2013-03-03": "03-04 06:00",
        "2013-03-04": "03-05 06:00",
    }
    shop = Sla(1, "day", at=time(6), slice_days=WORKING, holidays=frozenset({date(2013, 3, 5)}))
    assert list(due(shop, friday, 6)) == ["2013-03-01", "2013-03-04", "2013-03-06", "2013-03-07"]
    assert due(shop, date(2013, 3, 4), 0) == {"2013-03-04": "03-06 06:00"}


@pytest.mark.parametrize(
    ("promise", "expected"),
    [
        (Sla(1, "week"), ["2013-02-25", "2013-03-04"]),
        (Sla(2, "week", first=date(2013, 2, 1)), ["2013-03-01"]),
        (Sla(1, "month"), ["2013-03-01"]),
        (Sla(3, "month", first=date(2012, 12, 15)), ["2013-03-01"]),
        (Sla(1, "year"), ["2013-01-01"]),
        (Sla(3, "day", first=date(2013, 3, 2)), ["2013-03-02", "2013-03-05", "2013-03-08"]),
        (Sla(1, "day", last=date(2013, 3, 2)), ["2013-03-01", "2013-03-02"]),
    ],
)
def test_slices_begin_where_the_promise_does(promise: Sla, expected: list[str]) -> None:
    assert list(due(promise, date(2013, 3, 1))) == expected


def test_hours_that_clocks_skip_are_not_promised_and_doubled_ones_end_once() -> None:
    hourly = Sla(1, "hour", latency=1, zone=NEW_YORK)
    spring = due(hourly, date(2013, 3, 10), 1)
    assert "2013-03-10 02h" not in spring
    assert spring["2013-03-10 01h"] == "03-10 08:00"
    autumn = due(hourly, date(2013, 11, 3), 1)
    assert autumn["2013-11-03 01h"] == "11-03 08:00", "after the second one"
    assert sum(name.startswith("2013-11-03") for name in autumn) == 24


def test_the_newest_due_slice_is_late_and_older_ones_are_missing() -> None:
    there = [(date(2013, 3, 1), 0), (date(2013, 3, 3), 0)]
    now = datetime(2013, 3, 5, 12, tzinfo=UTC)
    found = {str(slot.period): slot.state for slot in slots(DAILY, there, now)}
    assert found == {
        "2013-03-01": "arrived", "2013-03-02": "missing", "2013-03-03": "arrived",
        "2013-03-04": "late", "2013-03-05": "due",
    }  # fmt: skip
    just_before = datetime(2013, 3, 5, 10, 59, tzinfo=UTC)
    assert [slot.state for slot in slots(DAILY, there, just_before)][3:] == ["due", "due"]


def test_a_source_that_never_delivered_is_late() -> None:
    states = [s.state for s in slots(DAILY, [], datetime(2013, 3, 5, 12, tzinfo=UTC))]
    assert states == ["late", "due"]


def test_any_file_within_a_longer_period_is_its_slice() -> None:
    yearly = Sla(1, "year", first=date(2013, 1, 1))
    there = [(date(2013, 7, 4), 0)]
    states = [s.state for s in slots(yearly, there, datetime(2014, 6, 1, tzinfo=UTC))]
    assert states == ["arrived", "due"]


@pytest.mark.parametrize(
    ("listed", "custom", "message"),
    [
        ({"frequency": (0, "d")}, {}, "frequency must be 1 or more"),
        ({"frequency": (1.5, "d")}, {}, "frequency is 1.5"),
        ({"frequency": (1, "fortnight")}, {}, "unknown unit 'fortnight'"),
        ({"frequency": (5, "h")}, {}, "must divide the day"),
        ({"frequency": (1, "h"), "timeOfAvailability": ("06:00", "")}, {}, "means nothing for an"),
        ({"frequency": (1, "d"), "timeOfAvailability": (360, "")}, {}, "in quotes"),
        ({"frequency": (1, "d"), "timeOfAvailability": ("06:00-05:00", "")}, {}, "timeZone"),
        ({"frequency": (1, "d"), "latency": (1, "h")}, {}, "latency must be in days"),
        ({"frequency": (1, "d"), "generalAvailability": ("soon", "")}, {}, "must be a date like"),
        ({"frequency": (1, "d")}, {"timeZone": "Mars/Phobos"}, "timeZone 'Mars/Phobos' is unknown"),
        ({"frequency": (1, "d")}, {"timeZone": "../zone"}, "is unknown"),
        ({"frequency": (1, "d")}, {"sliceDays": ["monday"]}, "sliceDays must list days"),
        ({"frequency": (1, "d")}, {"deliveryDays": []}, "deliveryDays must list days"),
        ({"frequency": (1, "w")}, {"sliceDays": ["mon"]}, "sliceDays means nothing"),
        ({"timeOfAvailability": ("06:00", "")}, {}, "lack frequency"),
        (
            {
                "frequency": (1, "d"),
                "generalAvailability": ("2014-01-01", ""),
                "endOfLife": ("2013-01-01", ""),
            },
            {},
            "endOfLife lies before",
        ),
    ],
)
def test_a_promise_that_makes_no_sense_is_named(
    listed: dict[str, Any], custom: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sla.read(listed, custom)


def test_nothing_is_promised_where_nothing_says_how_often() -> None:
    assert sla.read({"retention": (7, "y")}, {"nullText": "NA"}) is None
