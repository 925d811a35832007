"""Events about what was done, the way back from a mart to its deliveries, and the log."""

from __future__ import annotations

import hashlib
import json
from datetime import date

import pytest

from tests.observe.openlineage import (
    Event,
    by_table,
    ended,
    require_well_formed,
    tags,
    written,
)
from tests.support.checkout import Checkout
from tests.support.files import DAY
from tests.support.receiver import Receiver

THIRD = date(2013, 3, 11)
_WAITING = "select count(*) from ops.lineage_told where what = 'publish' and id = 1"


def forget(made: Checkout) -> None:
    """Let the first run's publication be told again."""
    made.execute(
        "delete from ops.lineage_told where what = 'publish' and id = 1;"
        "update ops.lineage_told set until = 1 where what = 'run' and id = 1"
    )


def tell(made: Checkout, address: str = "", *, disabled: str = "false") -> str:
    """Call a verb that finds nothing to do, and tells at its end what was not told yet."""
    said = made.call("ingest", OPENLINEAGE_URL=address, OPENLINEAGE_DISABLED=disabled)
    assert "nothing new has landed" in said
    return said


def test_every_event_is_what_openlineage_says(published_flights: Checkout) -> None:
    events = written(published_flights)
    assert len(events) > 60
    for event in events:
        require_well_formed(event)


def test_columns_are_followed_over_joins(published_flights: Checkout) -> None:
    built = ended(written(published_flights), "build.candidate.fct_flights")
    inputs = by_table(built["inputs"])
    assert {"intermediate.int_flights_timed", "candidate.fct_weather_observations"} <= set(inputs)
    (output,) = built["outputs"]
    fields = output["facets"]["columnLineage"]["fields"]
    (origin,) = fields["departure_temperature_fahrenheit"]["inputFields"]
    assert origin["name"].endswith(".candidate.fct_weather_observations")
    assert origin["field"] == "temperature_fahrenheit"


def test_a_run_is_told_from_delivery_to_publication_and_logged_as_objects(
    published: Checkout,
) -> None:
    published.land(THIRD)
    receiver = Receiver()
    with receiver.up(201):
        said = published.call("run", LOG_FORMAT="json", OPENLINEAGE_URL=receiver.address)
    assert set(receiver.paths) == {"/api/v1/lineage"}
    events = receiver.heard
    _tells_of_the_delivery(published, events)
    _tells_of_the_run(published, events)
    _is_a_log(said)
    for event in events:
        require_well_formed(event)


def _tells_of_the_delivery(made: Checkout, events: list[Event]) -> None:
    path = made.path("readings", THIRD)
    event = ended(events, "ingest.readings")
    (file,) = event["inputs"]
    assert (file["namespace"], file["name"]) == ("file", str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert file["facets"]["version"]["datasetVersion"] == f"sha256:{digest}"
    assert tags(file["facets"])["contract_version"] == "1.0.0"
    assert file["inputFacets"]["inputStatistics"]["rowCount"] == 72
    (table,) = event["outputs"]
    assert table["name"].endswith(".raw.readings")
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == 72
    fields = {field["name"]: field["type"] for field in table["facets"]["schema"]["fields"]}
    assert fields["station"] == "text"
    assert "_delivery_id" in fields


def _tells_of_the_run(made: Checkout, events: list[Event]) -> None:
    built = ended(events, "build.candidate.fct_readings")
    assert set(by_table(built["inputs"])) == {"staging.stg_readings__readings"}
    (output,) = built["outputs"]
    (origin,) = output["facets"]["columnLineage"]["fields"]["is_wet"]["inputFields"]
    assert origin["name"].endswith(".staging.stg_readings__readings")
    assert origin["field"] == "rain_millimetres"
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 72

    (tested,) = ended(events, "test.candidate.fct_readings")["inputs"]
    found = tested["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert [each["success"] for each in found if each.get("column") == "reading_id"] == [True] * 2

    judged = by_table(ended(events, "gate")["inputs"])["candidate.fct_readings"]
    checks = judged["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert {each["severity"] for each in checks} == {"error", "warn"}

    readings = by_table(ended(events, "publish")["outputs"])["published.fct_readings"]
    assert readings["outputFacets"]["outputStatistics"]["rowCount"] == 72
    assert readings["facets"]["version"]["datasetVersion"] == "publication:3"
    facets = [event["run"]["facets"] for event in events]
    parents = {facet["parent"]["run"]["runId"] for facet in facets if "parent" in facet}
    assert parents == {ended(events, "run")["run"]["runId"]}
    assert "passfile" in made.variables["WAREHOUSE_URL"]
    assert "passfile" not in json.dumps(events)


def _is_a_log(said: str) -> None:
    """One object per event."""
    lines = [json.loads(line) for line in said.splitlines()]
    steps = {line["step"] for line in lines}
    assert {"ingest", "plan", "build", "gate", "publish"} <= steps
    (readings,) = [line for line in lines if line.get("source") == "readings"]
    assert readings["delivery"] > 0
    assert readings["rows_loaded"] == 72
    assert "run" not in readings
    judged = [line["run"] for line in lines if line["step"] in ("build", "gate", "publish")]
    assert set(judged) == {3}


def require_whole(events: list[Event]) -> dict[str, list[str]]:
    """Each run began once, ended once, and is the child of one that began; the ends by job."""
    began, states = set(), {}
    ends: dict[str, list[str]] = {}
    for event in events:
        run_id, name, state = event["run"]["runId"], event["job"]["name"], event["eventType"]
        parent = event["run"]["facets"].get("parent")
        assert parent is None or parent["run"]["runId"] in began, name
        if state == "START":
            assert run_id not in began, f"{name} began twice"
            began.add(run_id)
        else:
            assert run_id in began, f"{name} never began"
            assert run_id not in states, f"{name} ended twice"
            states[run_id] = state
            ends.setdefault(name, []).append(state)
    assert began == states.keys(), "each ended"
    return ends


def test_runs_begin_once_and_end_once_whatever_becomes_of_them(published: Checkout) -> None:
    made = published
    made.correct()
    for step in ("ingest", "plan", "build", "build"):
        made.call(step)
    made.correct(THIRD)  # so that the run is superseded
    made.call("run")
    suite = made.project / "expectations/fct_readings.json"
    good = suite.read_text()
    made.correct(date(2013, 3, 12))
    made.call("ingest")
    suite.write_text(good.replace('"max_value": 60', '"max_value": -60'))
    made.call("plan")
    made.call("build")
    made.call("gate", code=3)
    made.fail("gate", made.value("select max(run_id) from ops.runs"))  # a cleared task
    made.call("rollback", "--reason", "a test")
    events = written(made)
    for event in events:
        require_well_formed(event)
    ends = require_whole(events)
    assert ends["run"] == ["COMPLETE"] * 2 + ["ABORT", "COMPLETE", "FAIL", "FAIL", "COMPLETE"]
    assert ends["rollback"] == ["COMPLETE"]
    assert ends["gate"] == ["COMPLETE"] * 3 + ["FAIL", "FAIL"]
    assert len(ends["build.candidate.fct_readings"]) == 6, "built twice in one run"


def test_an_address_hears_what_the_file_says_and_its_failures_stop_nothing(
    published: Checkout,
) -> None:
    forget(published)
    tell(published)
    event = written(published)[-2]
    assert event == ended(written(published)[-3:], "publish")
    forget(published)
    receiver = Receiver()
    with receiver.up(503):
        for _ in range(2):
            said = tell(published, receiver.address)
            assert "OPENLINEAGE_URL answers 503; told later" in said
    with receiver.up(201):
        tell(published, receiver.address)
        names = [event["job"]["name"] for event in receiver.heard]
        assert names == ["publish", "publish", "run"]
        assert receiver.heard[1] == event, "the same ids and names, told again"
        tell(published, receiver.address)
        assert len(receiver.heard) == 3, "nothing is told twice without a reason"


def test_a_dead_address_loses_nothing(published: Checkout) -> None:
    forget(published)
    for _ in range(2):
        said = tell(published, "http://127.0.0.1:9")
        assert "OPENLINEAGE_URL: ConnectionError; told later" in said
        assert published.value(_WAITING) == 0
    tell(published)
    assert published.value(_WAITING) == 1


def test_switched_off_nothing_is_told(published: Checkout) -> None:
    before = written(published)
    forget(published)
    tell(published, disabled="true")
    assert written(published) == before
    tell(published)
    assert len(written(published)) > len(before)


def test_the_way_back_ends_at_deliveries(published_flights: Checkout) -> None:
    made = published_flights
    way = made.call("lineage", "--mart", "agg_routes_monthly")
    path = made.path("flights", DAY)
    query = "select rows_loaded from ops.deliveries where source = 'flights' and slice_date = %s"
    rows = made.value(query, DAY)
    for expected in (
        "published.agg_routes_monthly", "candidate.fct_flights", "staging.stg_flights__flights",
        "raw.flights", f"flights/2013/03/{path.name}",
        hashlib.sha256(path.read_bytes()).hexdigest()[:12], f"{rows:,} rows, 0 quarantined",
        "raw.weather",
    ):  # fmt: skip
        assert expected in way
    assert way.count("delivery ") == 6, "each source's deliveries of three days once"

    column = made.call(
        "lineage", "--mart", "fct_flights", "--column", "departure_temperature_fahrenheit"
    )
    assert "raw.weather.temp" in column
    assert "raw.flights" not in column
    assert "weather_2013-03-11" in column


@pytest.mark.parametrize(
    ("named", "what", "near"),
    [
        (("fct_reading",), "no mart 'fct_reading'", "fct_readings"),
        (("fct_readings", "station"), "no column of fct_readings 'station'", "station_id"),
    ],
)
def test_an_unknown_mart_or_column_is_said_with_near_names(
    published: Checkout, named: tuple[str, ...], what: str, near: str
) -> None:
    given = zip(("--mart", "--column"), named, strict=False)
    said = published.call("lineage", *(part for pair in given for part in pair), code=2)
    assert what in said
    assert near in said.partition("next")[2]
