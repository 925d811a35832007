"""Days of sources and marts against what contracts promise, on a calendar of our own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from orchestration.ingesting import contract_files
from orchestration.ingesting.contracts import Contract
from orchestration.overview import punctuality, volumes
from orchestration.overview.punctuality import (
    HELD,
    IN_TIME,
    LATE,
    MISSING,
    WAITING,
    Arrival,
    Calendar,
    Published,
)
from orchestration.settings import PROJECT
from orchestration.watching import sla

FIRST = date(2026, 3, 1)
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)


def due(day: date) -> datetime:
    """At six on the day after, in New York."""
    local = datetime.combine(day + timedelta(1), time(6), ZoneInfo("America/New_York"))
    return local.astimezone(UTC)


def dues(now: datetime = NOW, start: date = FIRST) -> dict[date, datetime]:
    every = (start + timedelta(n) for n in range((now.date() - start).days))
    return {day: due(day) for day in every}


def arrival(day: date, number: int, received_at: datetime | None = None, **more: int) -> Arrival:
    """A day that came an hour before it was due, or at another time."""
    at = received_at or due(day) - timedelta(hours=1)
    counts = {"rejected": 0, "rows_loaded": 700, "rows_quarantined": 0} | more
    return Arrival("flights", day, number, at, delivery_id=number, **counts)


def days(first: date = FIRST, last: date = date(2026, 3, 18)) -> list[Arrival]:
    count = (last - first).days + 1
    return [arrival(first + timedelta(n), n + 1) for n in range(count)]


def calendar(arrivals: list[Arrival], now: datetime = NOW) -> Calendar:
    found = punctuality.of_source(
        "flights", dues(now, min(a.slice_date for a in arrivals)), arrivals, now
    )
    assert found
    return found


def state(shown: Calendar, day: date) -> str:
    return next(each.state for each in shown.days if each.day == day)


def test_a_day_is_due_by_the_providers_clock_also_when_it_changes() -> None:
    promise = sla.Sla(1, "day", time(6), zone=ZoneInfo("America/New_York"))
    found = punctuality.dues_of(
        replace(contract("flights"), sla=promise),
        date(2026, 3, 6),
        datetime(2026, 3, 9, 3, tzinfo=UTC),
    )
    assert found == {
        date(2026, 3, 6): datetime(2026, 3, 7, 11, tzinfo=UTC),
        date(2026, 3, 7): datetime(2026, 3, 8, 10, tzinfo=UTC),  # summer time
    }, "the 8th is not over yet in New York"


def test_a_promise_that_ended_ends_the_calendar() -> None:
    promised = punctuality.dues_of(contract("weather"), date(2013, 12, 1), NOW)
    came = days(date(2013, 12, 1), date(2013, 12, 29))
    shown = punctuality.of_source("weather", promised, came, NOW)
    assert shown
    assert (shown.days[-1].day, shown.days[-1].state) == (date(2013, 12, 30), MISSING)
    assert shown.note == "promised until 2013-12-30"


def test_each_day_has_the_state_that_its_delivery_gave_it() -> None:
    came = days()
    late, held, gone = FIRST + timedelta(3), FIRST + timedelta(5), FIRST + timedelta(7)
    came[3] = arrival(late, 4, due(late) + timedelta(hours=5))
    came[5] = arrival(held, 6, rows_quarantined=2)
    del came[7]
    shown = calendar(came)
    assert [state(shown, day) for day in (late, held, gone)] == [LATE, HELD, MISSING]
    assert shown.counts == {IN_TIME: 15, LATE: 1, HELD: 1, MISSING: 2}
    assert "5.0 h late" in next(each.said for each in shown.days if each.day == late)


def test_what_is_due_and_not_there_is_missing_up_to_now() -> None:
    shown = calendar(days(last=date(2026, 3, 16)))
    assert [day.state for day in shown.days[-2:]] == [MISSING, MISSING], "17 and 18, 19 due later"
    assert shown.days[-1].day == date(2026, 3, 19)
    assert shown.is_late
    assert not calendar(days(last=date(2026, 3, 19))).is_late


def test_history_that_came_at_one_go_was_late_for_nobody() -> None:
    came = [arrival(FIRST + timedelta(n), n + 1, NOW) for n in range(10)]
    assert calendar(came).counts[IN_TIME] == 10


def test_a_source_that_ended_has_no_missing_days_after_its_last() -> None:
    shown = calendar(days(), NOW + timedelta(400))
    assert MISSING not in shown.counts
    assert shown.note == "nothing newer for 402 days"


def test_a_rejected_file_is_held_back_and_a_withdrawn_one_is_missing() -> None:
    came = days()
    came[2] = Arrival("flights", came[2].slice_date, None, None, 1, None, 0, 0)
    came[4] = Arrival("flights", came[4].slice_date, 5, NOW, 0, None, 0, 0)
    shown = calendar(came)
    assert [state(shown, came[n].slice_date) for n in (2, 4)] == [HELD, MISSING]


def test_a_calendar_shows_twelve_months_however_long_the_history_is() -> None:
    shown = calendar(days(date(2020, 1, 1)))
    assert (shown.days[0].day, len(shown.days)) == (date(2025, 4, 1), 353)


def test_marts_wait_for_all_their_sources_and_for_a_publication() -> None:
    came = days()
    published = [Published(n, a.first_delivery or 0, due(a.slice_date)) for n, a in enumerate(came)]
    late = came[9]
    published[9] = Published(9, 9, due(late.slice_date))
    published[10] = Published(10, 11, due(late.slice_date) + timedelta(hours=4))
    shown = punctuality.of_marts(
        ["fct_flights", "agg"], {"flights": came}, {"flights": dues()},
        {"flights": calendar(came)}, published[:17], NOW,
        timedelta(hours=1),
    )  # fmt: skip
    assert shown
    assert shown.subject == "fct_flights and 1 more"
    assert state(shown, came[8].slice_date) == IN_TIME
    assert state(shown, late.slice_date) == LATE
    assert state(shown, came[17].slice_date) == MISSING, "delivered, not published"


def test_a_day_that_is_not_due_yet_is_not_missing() -> None:
    came = days()
    soon = due(date(2026, 3, 18)) - timedelta(hours=2)
    arrivals = {"flights": came, "weather": came[:-1]}
    shown = punctuality.of_marts(
        ["fct"], arrivals, dict.fromkeys(arrivals, dues(soon)),
        {name: calendar(arrivals[name], soon) for name in arrivals}, [Published(1, 18, soon)], soon,
        None,
    )  # fmt: skip
    assert shown
    assert shown.days[-1].state == WAITING


def test_usual_is_the_median_of_the_same_weekday_and_needs_four() -> None:
    came = [arrival(FIRST + timedelta(n), n + 1) for n in range(36)]
    came[35] = arrival(FIRST + timedelta(35), 36, rows_loaded=300)
    shown = volumes.of_source(came)
    assert [each.usual for each in shown[:28]] == [None] * 28
    assert (shown[28].usual, shown[28].is_odd, shown[35].is_odd) == (700, False, True)


def test_a_contract_without_days_says_so() -> None:
    for one, message in (
        (contract("planes"), "not of single days"),
        (replace(contract("flights"), sla=None), "promises nothing"),
    ):
        with pytest.raises(ValueError, match=message):
            punctuality.dues_of(one, FIRST, NOW)


def contract(source: str) -> Contract:
    return contract_files.load(PROJECT / f"contracts/{source}.yml")
