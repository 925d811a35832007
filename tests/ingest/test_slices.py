"""The dates that a file is about: its path says them."""

from __future__ import annotations

from datetime import date, timedelta

from tests.ingest.given import contract, custom, land, outcomes, sale
from tests.support import files
from tests.support.checkout import Checkout
from tests.support.files import DAY, HEADER, reading


def test_the_path_gives_the_slice(empty: Checkout) -> None:
    """Date, hour and number of days; a snapshot has none."""
    contract(empty, "months", path="months/{yyyy}/{mm}.csv")
    contract(empty, "hours", path="hours/{yyyy}{mm}{dd}T{hh}.csv")
    contract(empty, "alls", path="alls/all.csv", custom=custom(snapshot=True))
    contract(empty, "years", path="years/{yyyy}.csv", custom=custom(snapshot=True))
    landed = ("months/2024/02.csv", "hours/20260131T23.csv", "alls/all.csv", "years/2026.csv")
    for path in landed:
        land(empty, path, sale(1))
    empty.call("ingest")
    found = empty.query("select source, slice_date, slice_hour, slice_days from ops.deliveries")
    assert sorted(found) == [
        ("alls", date(1970, 1, 1), 0, 0),
        ("hours", date(2026, 1, 31), 23, 1),
        ("months", date(2024, 2, 1), 0, 29),
        ("years", date(2026, 1, 1), 0, 0),
    ]


def test_a_leap_day_and_the_turn_of_the_year_are_days_like_others(empty: Checkout) -> None:
    days = (date(2012, 2, 29), date(2012, 12, 31), date(2013, 1, 1))
    for day in days:
        empty.deliver([HEADER, reading(day)], day)
    empty.call("ingest")
    assert outcomes(empty) == [("loaded", 1, 0)] * 3
    found = empty.query("select _slice_date from raw.readings order by 1")
    assert [day for (day,) in found] == list(days)


def test_hours_of_a_day_stand_side_by_side(published: Checkout) -> None:
    """Two files of one date add up, and a run builds that date."""
    daily, hourly = "readings_{yyyy}-{mm}-{dd}.csv", "readings_{yyyy}-{mm}-{dd}T{hh}.csv"
    published.edit("contracts/readings.yml", daily, hourly)
    day = DAY + timedelta(2)
    for hour in (1, 2):
        path = published.path("readings", day)
        at = path.with_name(path.name.replace(".csv", f"T{hour:02}.csv"))
        files.write(at, [HEADER, *(reading(day, hour, number) for number in range(3))])
    said = published.call("run")
    assert "dates changed: readings 1" in said
    active = "select slice_hour from ops.active_deliveries where slice_date = %s order by 1"
    assert published.query(active, day) == [(1,), (2,)]
    assert published.changes() == {"fct_readings": (6, 0, 0), "agg_stations_daily": (3, 0, 0)}
    counts = "select distinct reading_date, reading_count from published.agg_stations_daily"
    assert (day, 2) in published.query(counts)
