"""What was promised and has not come: late by the calendar, a page for the marts made of it."""

from __future__ import annotations

from datetime import UTC, date, datetime

from tests.observe.alerts import keys
from tests.support import files
from tests.support.checkout import Checkout

THIRD = date(2013, 3, 11)
READINGS, STATIONS = "contracts/readings.yml", "contracts/stations.yml"
_ENDS = '  - property: endOfLife\n    value: "2013-03-11"\n'
_PROMISE = f"""slaProperties:
  - property: frequency
    value: 1
    unit: d
  - property: timeOfAvailability
    value: "06:00"
  - property: generalAvailability
    value: "2013-03-11"
{_ENDS}customProperties:
  - property: timeZone
    value: America/New_York
"""


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def news(made: Checkout) -> list[str]:
    return [each for (each,) in made.query("select news from ops.alert_messages order by 1")]


def row_of(said: str, name: str) -> str:
    """The row of a table that begins with `name`, with single spaces."""
    rows = (" ".join(line.split()) for line in said.splitlines())
    return next(row for row in rows if row.startswith(f"{name} "))


def took_ten_minutes(made: Checkout) -> None:
    """Let each delivery have arrived ten minutes before it was published."""
    made.execute(
        "update ops.deliveries set recorded_at = (select min(published_at) from ops.publications"
        " where as_of >= delivery_id) - interval '10 minutes'"
    )


def test_late_data_pages_for_the_marts_that_miss_their_due_time(published: Checkout) -> None:
    took_ten_minutes(published)

    def found(instant: str) -> str:
        return published.call("watch", "--at", f"2013-03-{instant}")

    # A slice is due at 6:00 in New York: 10:00 UTC, the clocks have gone forward. Its marts are
    # due two hours later.
    assert "no alert would be" in found("12 09:59")
    said = found("12 10:00")
    assert "1 alerts would be open" in said
    assert "log: readings of 2013-03-11 has not arrived; due 2013-03-12 10:00 UTC" in said
    assert "10 min (9 of 10 within 10 min)" in row_of(said, "readings")
    assert "page:" not in found("12 11:49"), "ten minutes are enough to publish"

    said = found("12 11:51")
    assert row_of(said, "fct_readings").startswith("fct_readings will miss 2013-03-10")
    assert "page: agg_stations_daily, fct_readings will miss their due time (2013-03-12" in said
    assert "(2013-03-12 12:00 UTC): readings of 2013-03-11 not delivered" in said
    said = found("12 12:00")
    assert "page: agg_stations_daily, fct_readings missed their due time (2013-03-12" in said
    assert row_of(said, "fct_readings").startswith("fct_readings missed 2013-03-10")
    in_time = row_of(said, "dim_stations")
    assert in_time.startswith("dim_stations in time"), "it is made of stations: no promise"

    said = found("13 10:00")
    assert "log: readings of 2013-03-11 is missing" in said
    assert "log: readings of 2013-03-12 has not arrived" in said
    assert keys(published) == [], "who only looks raises nothing"


def test_late_data_is_told_once_and_is_over_when_it_is_published(published: Checkout) -> None:
    took_ten_minutes(published)
    published.edit(READINGS, 'value: "2013-03-09"\n', f'value: "2013-03-09"\n{_ENDS}')
    published.edit(STATIONS, "customProperties:\n", _PROMISE)
    published.step("watch")
    due, marts_due = at("2013-03-12 10:00"), at("2013-03-12 12:00")
    raised = "select key, severity, owner, since from ops.open_alerts order by key"
    assert published.query(raised) == [
        ("late:readings", "log", "field-data", due), ("late:stations", "log", "field-data", due),
        ("mart-due:climate:readings", "page", "climate", marts_due),
        ("mart-due:climate:stations", "page", "climate", marts_due),
    ]  # fmt: skip
    impact = "select impact from ops.open_alerts where key = 'mart-due:climate:readings'"
    assert published.value(impact) == "Readers see data up to 2013-03-10."
    published.step("watch")
    assert news(published) == ["opened"] * 4, "nobody hears of the same twice"

    # It arrived, and nobody publishes it.
    published.land(THIRD)
    files.write(published.path("stations", THIRD), [*files.LIST[:-1], "CCC,Gamma,S"])
    published.call("ingest")
    published.step("watch")
    assert keys(published) == ["mart-due:climate:publication"]
    what = "select what from ops.open_alerts"
    assert published.value(what).endswith(
        "missed their due time (2013-03-12 12:00 UTC): readings of 2013-03-11, stations of"
        " 2013-03-11 arrived and not published"
    )
    # A backfill brings the one day, over a base that does not know it.
    day = str(THIRD)
    published.call("backfill", "--start", day, "--end", day, "--chunk", "1d")
    said = published.call("watch")
    assert keys(published) == []
    assert news(published).count("resolved") == 5
    assert row_of(said, "fct_readings").startswith("fct_readings in time 2013-03-11")
    assert "(9 of 10 within" in row_of(said, "readings")


def test_what_is_promised_no_more_is_not_late(flights: Checkout) -> None:
    flights.land_flights(files.DAY)
    flights.call("ingest")
    said = flights.call("watch")
    # Promised until the end of 2013: 365 days of flights, 364 of weather, one list of planes.
    assert row_of(said, "flights") == "flights late 2013-03-09 2013-12-31 363 flight-data"
    assert row_of(said, "weather") == "weather late 2013-03-09 2013-12-30 362 flight-data"
    assert row_of(said, "planes") == "planes complete 2013-01-01 flight-data"
    assert "flights of 2013-12-31 has not arrived" in said
    assert "no mart is published yet" in said


def test_a_contract_without_promises_is_named_and_the_rest_goes_on(empty: Checkout) -> None:
    empty.step("watch")
    assert "stations: its contract promises nothing (slaProperties)" in empty.said
    assert "no mart is published yet" in empty.said
    assert "late:stations" not in empty.said
    assert "(late:readings)" in empty.said
    assert "[log] readings of" in empty.said
    assert "runbook: runbooks/source-late.md" in empty.said
