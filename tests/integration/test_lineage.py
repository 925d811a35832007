"""Events about what was done, the way back from a mart to its deliveries, and the log."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from openlineage.client import event_v2, facet_v2
from rich.console import Console

from orchestration import console, database
from orchestration.errors import DeliveryRejected, UsageError
from orchestration.lineage import transport
from orchestration.lineage.tell import tell
from orchestration.lineage.way import way_back
from orchestration.settings import Settings
from tests.flights import landed
from tests.steps import query

DAY = date(2013, 1, 2)
Event = dict[str, Any]

_ASSERTIONS = facet_v2.data_quality_assertions_dataset
_WRITTEN = facet_v2.output_statistics_output_dataset
# The wheel carries no JSON schema; its classes are generated from the official one.
_FACETS: dict[str, Any] = {
    "columnLineage": facet_v2.column_lineage_dataset.ColumnLineageDatasetFacet,
    "dataQualityAssertions": _ASSERTIONS.DataQualityAssertionsDatasetFacet,
    "errorMessage": facet_v2.error_message_run.ErrorMessageRunFacet,
    "inputStatistics": facet_v2.input_statistics_input_dataset.InputStatisticsInputDatasetFacet,
    "jobType": facet_v2.job_type_job.JobTypeJobFacet,
    "outputStatistics": _WRITTEN.OutputStatisticsOutputDatasetFacet,
    "parent": facet_v2.parent_run.ParentRunFacet,
    "schema": facet_v2.schema_dataset.SchemaDatasetFacet,
    "version": facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet,
}
_PARTS: dict[str, Any] = {
    "assertions": _ASSERTIONS.Assertion,
    "inputFields": facet_v2.column_lineage_dataset.InputField,
}


@pytest.fixture(scope="module")
def events(observed_warehouse: Settings) -> list[Event]:
    """What `run` told about the first run."""
    text = (observed_warehouse.var / "lineage/events.jsonl").read_text()
    told = [json.loads(line) for line in text.splitlines()]
    return [e for e in told if _tags(e["run"]["facets"]).get("run", "1") == "1"]


def _tags(facets: Event) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in facets.get("tags", {}).get("tags", [])}


def ended(events: list[Event], job: str) -> Event:
    (event,) = [e for e in events if e["job"]["name"] == job and e["eventType"] != "START"]
    return event


def test_every_event_is_what_openlineage_says(events: list[Event]) -> None:
    assert len(events) > 60
    for event in events:
        event_v2.RunEvent(
            eventTime=event["eventTime"],
            producer=event["producer"],
            run=event_v2.Run(runId=event["run"]["runId"]),
            job=event_v2.Job(namespace=event["job"]["namespace"], name=event["job"]["name"]),
            eventType=event_v2.RunState[event["eventType"]],
        )
        assert event["schemaURL"].endswith("OpenLineage.json#/$defs/RunEvent")
        check(event["run"]["facets"], facet_v2.tags_run.TagsRunFacet)
        check(event["job"]["facets"], None)
        for dataset in event["inputs"] + event["outputs"]:
            assert set(dataset) <= {
                "namespace", "name", "facets", "inputFacets", "outputFacets",
            }  # fmt: skip
            for key in ("facets", "inputFacets", "outputFacets"):
                check(dataset.get(key, {}), facet_v2.tags_dataset.TagsDatasetFacet)


def check(facets: Event, tags: Any) -> None:
    """Raise if the library's class of a facet has no such field, or another schema."""
    for name, content in facets.items():
        kind = tags if name == "tags" else _FACETS[name]
        own = {key: value for key, value in content.items() if not key.startswith("_")}
        made = kind(**own)
        assert content["_schemaURL"] == made._schemaURL
        for parts in (own, *own.get("fields", {}).values()) if name == "columnLineage" else (own,):
            for key, part in _PARTS.items():
                for each in parts.get(key, []):
                    part(**each)


def test_a_delivery_is_told_with_its_checksum(
    observed_warehouse: Settings, events: list[Event]
) -> None:
    path = landed(observed_warehouse, "flights", DAY)
    event = ended(events, "ingest.flights")
    (file,) = event["inputs"]
    assert (file["namespace"], file["name"]) == ("file", str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert file["facets"]["version"]["datasetVersion"] == f"sha256:{digest}"
    assert _tags(file["facets"])["contract_version"]
    assert file["inputFacets"]["inputStatistics"]["rowCount"] == 943
    (table,) = event["outputs"]
    assert table["name"].endswith(".raw.flights")
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == 943


def test_models_tests_gate_and_publish_are_linked(
    observed_warehouse: Settings, events: list[Event]
) -> None:
    built = ended(events, "build.candidate.fct_flights")
    names = {dataset["name"].partition(".")[2] for dataset in built["inputs"]}
    assert {"intermediate.int_flights_timed", "candidate.fct_weather_observations"} <= names
    (output,) = built["outputs"]
    fields = output["facets"]["columnLineage"]["fields"]
    (origin,) = fields["departure_temperature_fahrenheit"]["inputFields"]
    assert origin["name"].endswith(".candidate.fct_weather_observations")
    assert origin["field"] == "temperature_fahrenheit"
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 943

    (tested,) = ended(events, "test.candidate.fct_flights")["inputs"]
    found = tested["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert any(
        each["column"] == "flight_id" and each["success"] for each in found if "column" in each
    )

    judged = {d["name"].rpartition(".")[2]: d for d in ended(events, "gate")["inputs"]}
    checks = judged["fct_flights"]["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert {each["severity"] for each in checks} == {"error", "warn"}

    published = ended(events, "publish")
    outputs = {d["name"].rpartition(".")[2]: d for d in published["outputs"]}
    assert outputs["fct_flights"]["outputFacets"]["outputStatistics"]["rowCount"] == 943
    assert outputs["fct_flights"]["facets"]["version"]["datasetVersion"] == "publication:1"
    parents = {
        e["run"]["facets"]["parent"]["run"]["runId"]
        for e in events if "parent" in e["run"]["facets"]
    }  # fmt: skip
    assert parents == {ended(events, "run")["run"]["runId"]}
    where = observed_warehouse.warehouse_url or ""
    assert "passfile" in where
    assert "passfile" not in json.dumps(events)


class _Collector(BaseHTTPRequestHandler):
    got: list[Event] = []  # noqa: RUF012
    answer = 201
    waits = 0.0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.answer == 201:
            self.got.append(json.loads(body))
        time.sleep(self.waits)
        self.send_response(self.answer)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), _Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    _Collector.got, _Collector.answer, _Collector.waits = [], 201, 0.0
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def forget(connection: database.Connection) -> None:
    """Let the first run's publication be told again."""
    connection.execute("delete from ops.lineage_told where what = 'publish' and id = 1")


def test_an_address_hears_the_same_and_its_failures_stop_nothing(
    observed_warehouse: Settings,
    collector: HTTPServer,
    events: list[Event],
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = f"http://127.0.0.1:{collector.server_port}"
    given = replace(observed_warehouse, openlineage_url=url)
    with database.connect(given) as connection:
        tell(observed_warehouse, connection)  # what other tests did
        forget(connection)
        _Collector.answer = 503
        tell(given, connection)
        tell(given, connection)
        assert capsys.readouterr().out.count("OPENLINEAGE_URL answers 503; told later") == 2
        _Collector.answer = 201
        tell(given, connection)
        assert "not tried again in this process" in capsys.readouterr().out
        assert _Collector.got == [], "the breaker is open"

        again = replace(given, openlineage_url=url + "/")  # as a new process would
        tell(again, connection)
        names = [event["job"]["name"] for event in _Collector.got]
        assert names == ["publish", "publish", "run"]
        assert _Collector.got[1] == ended(events, "publish"), "the same ids and names, told again"
        tell(again, connection)
        assert len(_Collector.got) == 3, "nothing is told twice without a reason"


def test_a_slow_address_is_left_alone(
    collector: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_BUDGET", 0.3)
    _Collector.waits = 0.2
    to = transport.Http(f"http://127.0.0.1:{collector.server_port}")
    with pytest.raises(transport.Unreachable, match="slow"):
        to.send([{"n": n} for n in range(10)])
    assert len(_Collector.got) == 2


def test_a_dead_address_costs_little_and_loses_nothing(observed_warehouse: Settings) -> None:
    with database.connect(observed_warehouse) as connection:
        tell(observed_warehouse, connection)
        forget(connection)
        began = time.monotonic()
        for _ in range(5):
            tell(replace(observed_warehouse, openlineage_url="http://127.0.0.1:9"), connection)
        assert time.monotonic() - began < 3
        waiting = "select count(*) from ops.lineage_told where what = 'publish' and id = 1"
        assert query(observed_warehouse, waiting) == [(0,)]
        tell(observed_warehouse, connection)
        assert query(observed_warehouse, waiting) == [(1,)]


def test_switched_off_nothing_is_told(observed_warehouse: Settings) -> None:
    with database.connect(observed_warehouse) as connection:
        tell(observed_warehouse, connection)
        forget(connection)
        size = (observed_warehouse.var / "lineage/events.jsonl").stat().st_size
        tell(replace(observed_warehouse, openlineage_is_off=True), connection)
        assert (observed_warehouse.var / "lineage/events.jsonl").stat().st_size == size
        tell(observed_warehouse, connection)
        assert (observed_warehouse.var / "lineage/events.jsonl").stat().st_size > size


def drawn(given: Settings, mart: str, column: str | None = None) -> str:
    paper = io.StringIO()
    with database.connect(given) as connection:
        Console(file=paper, width=300).print(way_back(given, connection, mart, column))
    return paper.getvalue()


def test_the_way_back_ends_at_deliveries(observed_warehouse: Settings) -> None:
    way = drawn(observed_warehouse, "agg_routes_monthly")
    path = landed(observed_warehouse, "flights", DAY)
    for expected in (
        "published.agg_routes_monthly", "candidate.fct_flights", "staging.stg_flights__flights",
        "raw.flights", f"flights/2013/01/{path.name}",
        hashlib.sha256(path.read_bytes()).hexdigest()[:12], "943 rows, 0 quarantined",
        "raw.weather",
    ):  # fmt: skip
        assert expected in way
    assert way.count("delivery ") == 2, "each source's deliveries once"

    column = drawn(observed_warehouse, "fct_flights", "departure_temperature_fahrenheit")
    assert "raw.weather.temp" in column
    assert "raw.flights" not in column
    assert "weather_2013-01-02" in column


def test_an_unknown_mart_or_column_is_said_with_near_names(observed_warehouse: Settings) -> None:
    with pytest.raises(UsageError, match="no mart 'fct_flight'") as mart:
        drawn(observed_warehouse, "fct_flight")
    assert "fct_flights" in mart.value.todo
    with pytest.raises(UsageError, match="no column of fct_flights 'airline'") as column:
        drawn(observed_warehouse, "fct_flights", "airline")
    assert "airline_id" in column.value.todo


def test_the_log_is_one_object_per_event(observed_warehouse: Settings) -> None:
    lines = [
        json.loads(line) for line in (observed_warehouse.var / "said").read_text().splitlines()
    ]
    steps = [line["step"] for line in lines]
    assert {"ingest", "plan", "build", "gate", "publish"} <= set(steps)
    (flights,) = [line for line in lines if line.get("source") == "flights"]
    assert flights["delivery"] > 0
    assert flights["rows_loaded"] == 943
    assert "run" not in flights
    assert {line.get("run") for line in lines if line["step"] in ("build", "gate", "publish")} == {
        1
    }


def test_passwords_are_in_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    secret = "postgresql://ada:topsecret@db:5432/x password=topsecret TOKEN_KEY: topsecret"
    try:
        for kind in ("text", "json"):
            console.use(kind)
            console.say("up", secret)
            console.report(DeliveryRejected(secret, kept=secret, todo=secret))
    finally:
        console.use("text")
    said = capsys.readouterr()
    assert "db:5432" in said.out
    assert "topsecret" not in said.out + said.err
