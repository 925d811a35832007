"""What the gate finds by comparing the candidate with what is published."""

from __future__ import annotations

import json
from datetime import date, timedelta

from tests.support import files
from tests.support.checkout import Checkout
from tests.support.files import DAY, reading

NEW = DAY + timedelta(7)
_NOT_COMPARED = (
    "select count(*) from ops.gate_results where observed like 'not compared%%'"
    " and run_id = (select max(run_id) from ops.runs)"
)
_VOLUMES = {
    "type": "unexpected_rows_expectation",
    "severity": "critical",
    "description": "volume is possible for the weekday",
    "kwargs": {
        "unexpected_rows_query": "select * from ops.volumes('fct_readings', '7 days')"
        " where found_rows not between 0.3 * usual_rows and 3 * usual_rows"
    },
}
_SHARES = {
    "type": "expect_column_kl_divergence_to_be_less_than",
    "severity": "critical",
    "kwargs": {
        "column": "station_id", "threshold": 0.2, "tail_weight_holdout": 0.001,
        "partition_object": {"$PARAMETER": "usual_shares_station_id"},
    },
}  # fmt: skip
_MEDIAN = {
    "type": "expect_column_median_to_be_between",
    "severity": "critical",
    "kwargs": {
        "column": "temperature_degrees",
        "min_value": {"$PARAMETER": "usual_median_temperature_degrees - 5"},
        "max_value": {"$PARAMETER": "usual_median_temperature_degrees + 5"},
    },
}


def tiny(day: date, stations: int = 3, hours: int = 2, **changes: object) -> list[str]:
    rows = [reading(day, h, s, **changes) for s in range(stations) for h in range(hours)]
    return [files.HEADER, *rows]


def test_a_new_day_is_compared_with_the_same_weekdays_that_are_published(empty: Checkout) -> None:
    suite = empty.project / "expectations/fct_readings.json"
    content = json.loads(suite.read_text())
    content["expectations"] += [_VOLUMES, _SHARES, _MEDIAN]
    suite.write_text(json.dumps(content))
    empty.list_stations()
    for weeks in range(5):
        day = DAY - timedelta(7 * weeks)
        empty.deliver(tiny(day, hours=2 + weeks % 2), day)
    empty.call("run")
    assert empty.value(_NOT_COMPARED) > 0, "the first run has nothing to compare with"

    empty.deliver(tiny(NEW, hours=1)[:2], NEW)
    said = empty.call("run", code=3)
    assert "fct_readings: volume is possible for the weekday" in said
    assert f"partition_date {NEW}, found_rows 1, usual_rows 6" in said

    empty.deliver(tiny(NEW, stations=2), NEW)
    said = empty.call("run", code=3)
    assert "expect_column_kl_divergence_to_be_less_than(station_id)" in said
    assert "volume" not in said

    empty.deliver(tiny(NEW, temperature=20), NEW)
    said = empty.call("run", code=3)
    assert "expect_column_median_to_be_between(temperature_degrees)" in said
    assert "divergence" not in said

    empty.deliver(tiny(NEW), NEW)
    empty.call("run")
    assert empty.publications == 2
    assert empty.value(_NOT_COMPARED) == 0


def test_the_flights_of_a_day_are_compared_with_what_is_published(
    published_flights: Checkout,
) -> None:
    made = published_flights
    assert made.value(_NOT_COMPARED) > 0, "the first run has nothing to compare with"
    publish_the_same_weeks_before(made, 4)
    made.land_flights(NEW, planes=False)
    made.call("ingest")
    run_id = made.step("plan")
    made.step("build", run_id)
    made.execute("create table public.kept as select * from candidate.fct_flights"
                 " where flight_date = %s", NEW)  # fmt: skip

    rest = "select flight_id from public.kept order by flight_id offset 199"
    found = spoiled(made, run_id, f"delete from candidate.fct_flights where flight_id in ({rest})")
    assert f"partition_date {NEW}, found_rows 199, usual_rows" in found[
        "volume is possible for the weekday"
    ]  # fmt: skip
    found = spoiled(made, run_id, "delete from candidate.fct_flights"
                    f" where flight_date = '{NEW}' and origin_airport_id = 'JFK'")  # fmt: skip
    assert "expect_column_kl_divergence_to_be_less_than(origin_airport_id)" in found
    assert "volume is possible for the weekday" not in found
    found = spoiled(made, run_id, "update candidate.fct_flights set departure_delay_minutes = -130"
                    " where flight_id = (select min(flight_id) from public.kept)")  # fmt: skip
    earliest = made.value("select min(flight_id) from public.kept")
    assert f"{earliest} = -130" in found[
        "expect_column_values_to_be_between(departure_delay_minutes)"
    ]  # fmt: skip
    found = spoiled(made, run_id, f"delete from candidate.fct_flights where flight_date = '{NEW}'")
    assert f"slice_date {NEW}, delivery_id" in found["every delivered day is there"]
    assert "flights per date are those of fct_flights" in found

    made.step("gate", run_id)
    assert made.value(_NOT_COMPARED) == 0
    assert "fct_flights" in made.step("publish", run_id)


def publish_the_same_weeks_before(made: Checkout, weeks: int) -> None:
    """Let what is published of the first day also stand a week before it, and before that."""
    made.execute(
        "insert into published.fct_flights select (jsonb_populate_record(null::published"
        ".fct_flights, to_jsonb(it) || jsonb_build_object('flight_id', flight_id || '-' || week,"
        " 'flight_date', flight_date - 7 * week))).* from published.fct_flights as it,"
        " generate_series(1, %s) as week where flight_date = %s",
        weeks, DAY,
    )  # fmt: skip


def spoiled(made: Checkout, run_id: int, statement: str) -> dict[str, str]:
    """The checks, with samples, that block while the candidate's new day is changed so."""
    assert made.execute(statement) > 0
    said = made.fail("gate", run_id)
    found: dict[str, str] = dict(made.query(
        "select check_name, samples::text from ops.gate_results"
        " where run_id = %s and not passed and severity = 'critical'", run_id
    ))  # fmt: skip
    assert any(f"{check}:" in said for check in found), "it says what blocks"
    made.execute("delete from candidate.fct_flights where flight_date = %s", NEW)
    made.execute("insert into candidate.fct_flights select * from public.kept")
    return found
