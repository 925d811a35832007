"""What Prometheus is told, the alerts it raises by it, and what Grafana asks it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from orchestration import database
from orchestration.airflow_server import home as airflow
from orchestration.auditing.gate import gate
from orchestration.building.build import build, parse
from orchestration.errors import AirworthyError
from orchestration.ingesting.ingest import ingest
from orchestration.metrics.collector import LedgerCollector
from orchestration.metrics.families import GROUPS, every
from orchestration.metrics.server import served
from orchestration.planning import plan
from orchestration.settings import PROJECT, Settings
from tests.flights import land_days, landed, write
from tests.needs import PROMETHEUS

DAY = date(2013, 1, 2)
OBSERVABILITY = PROJECT / "observability"
Samples = dict[tuple[str, tuple[str, ...]], float]


def scrape(given: Settings) -> Samples:
    """Each sample by its name and the values of its labels, in the order of their names."""
    with served(replace(given, metrics_port=0)) as address, urlopen(address) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def unknown_metrics(query: str) -> set[str]:
    """The metrics of ours that a query names and `/metrics` does not have."""
    named = set(re.findall(r"\bairworthy_\w+", query))
    return named - {family.name for family in every()}


def test_the_ledger_is_told_and_trouble_shows(observed_warehouse: Settings) -> None:
    given = observed_warehouse
    before = scrape(given)
    assert before["airworthy_ledger_up", ()] == 1
    assert all(before["airworthy_query_up", (name,)] == 1 for name in GROUPS)
    assert before["airworthy_runs", ("first", "shell", "published")] == 1
    assert before["airworthy_publications_total", ()] == 1
    assert before["airworthy_rows_received_total", ("flights",)] == 943
    assert before["airworthy_published_rows", ("fct_flights",)] == 943
    assert before["airworthy_rows_published_total", ("inserted", "fct_flights")] == 943
    assert before["airworthy_backlog_deliveries", ("flights",)] == 0
    steps = {labels[0] for name, labels in before if name == "airworthy_step_duration_seconds"}
    assert steps == {"build", "gate", "publish", "all"}
    assert before["airworthy_model_duration_seconds", ("fct_flights",)] > 0
    assert 0 <= before["airworthy_null_share_ratio", ("manufacture_year", "dim_aircraft")] <= 1
    assert before["airworthy_mart_freshness_seconds", ("fct_flights",)] > 3600
    assert before["airworthy_gate_blocked", ()] == 0

    _block_a_run(given)
    after = scrape(given)
    assert after["airworthy_gate_blocked", ()] == 1
    assert after["airworthy_gate_failed_checks", ("critical",)] > 0
    assert after["airworthy_gate_failures_total", ("critical",)] > 0
    assert after["airworthy_deliveries_total", ("rejected", "flights")] == 1
    assert after["airworthy_backlog_deliveries", ("flights",)] == 1
    assert after["airworthy_backlog_oldest_seconds", ("flights",)] > 0
    assert after["airworthy_distribution_divergence", ("airline_id", "fct_flights")] >= 0
    shown = {name for name, _ in after}
    assert {family.name for family in every()} <= shown, "each metric has a value by now"


def _block_a_run(given: Settings) -> None:
    """Another day whose rows the candidate lost, and a file that matches no contract."""
    land_days(given, DAY + timedelta(1), planes=False)
    write(landed(given, "flights", DAY + timedelta(2)), ["not,what,was,agreed"])
    with database.connect(given) as connection:
        ingest(given, connection)
        reason = plan.due(given, connection)
        assert reason
        this = plan.plan(given, connection, reason, parse(given)).run
        assert this
        build(given, connection, this)
        lost = "delete from candidate.fct_flights where flight_date = %s and distance_miles > 500"
        connection.execute(lost, [DAY + timedelta(1)])
        assert not gate(given, connection, this).passed


def test_a_contract_that_cannot_be_read_costs_only_what_needs_it(
    observed_warehouse: Settings, tmp_path: Path
) -> None:
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts/flights.yml").write_text("version: [")
    found = scrape(replace(observed_warehouse, project=tmp_path))
    assert found["airworthy_query_up", ("lateness",)] == 0
    assert found["airworthy_query_up", ("runs",)] == 1
    assert ("airworthy_published_rows", ("fct_flights",)) in found


def test_without_a_warehouse_it_says_so_and_comes_back(observed_warehouse: Settings) -> None:
    gone = replace(observed_warehouse, warehouse_url="postgresql://127.0.0.1:9/none")
    assert scrape(gone) == {("airworthy_ledger_up", ()): 0}
    collector = LedgerCollector(observed_warehouse)
    try:
        assert len(list(collector.collect())) > 1
        assert collector._connection
        collector._connection.close()
        assert len(list(collector.collect())) == 1, "the connection was lost"
        assert len(list(collector.collect())) > 1, "the next scrape makes a new one"
    finally:
        collector.close()


def test_it_may_only_look(observed_warehouse: Settings) -> None:
    with database.connect(observed_warehouse) as connection:
        connection.execute("set role airworthy_observer")
        for forbidden in ("select token from ops.runs", "delete from ops.holds",
                          "select * from published.fct_flights"):  # fmt: skip
            with pytest.raises(Exception, match="permission denied"):
                connection.execute(forbidden)


def test_a_port_that_is_taken_is_said(observed_warehouse: Settings) -> None:
    with served(replace(observed_warehouse, metrics_port=0)) as address:
        port = int(address.split(":")[2].partition("/")[0])
        with (
            pytest.raises(AirworthyError, match="Address already in use") as refused,
            served(replace(observed_warehouse, metrics_port=port)),
        ):
            pass
    assert "METRICS_PORT" in refused.value.todo


@pytest.mark.needs("prometheus", "promtool")
def test_rules_and_configuration_are_right() -> None:
    promtool = PROMETHEUS.find()
    assert promtool
    folder = OBSERVABILITY / "prometheus"
    for arguments in (
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "rules_test.yml"],
    ):
        done = subprocess.run([promtool, *arguments], cwd=folder, text=True, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_airflow_sends_its_metrics_to_the_address(embedded_server: Settings) -> None:
    heard = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever).start()
        given = replace(embedded_server, otlp_endpoint=f"http://127.0.0.1:{server.server_port}")
        count = (
            "from airflow.observability.metrics.stats_utils import get_stats_factory as factory\n"
            "from opentelemetry.metrics import get_meter_provider\n"
            "factory()().incr('dagrun.schedule')\nget_meter_provider().force_flush()"
        )
        variables = airflow.environment(given, airflow.of(given))
        done = subprocess.run([sys.executable, "-c", count], env=variables, capture_output=True)
        server.shutdown()
    assert done.returncode == 0, done.stderr.decode()
    ((path, body),) = heard[:1]
    assert path == "/v1/metrics"
    assert b"airflow.dagrun.schedule" in body


def test_metrics_are_named_as_prometheus_wants_it() -> None:
    for family in every():
        assert re.fullmatch(r"airworthy_[a-z_]+", family.name)
        assert (family.kind == "counter") == family.name.endswith("_total")
        assert set(family.labels) <= {
            "source", "outcome", "kind", "runner", "state", "step", "model", "mart", "change",
            "severity", "column", "query",
        }, family.name  # fmt: skip


def queries() -> Iterator[tuple[str, str]]:
    """Each query of the dashboards and rules, with where it stands."""
    for path in (OBSERVABILITY / "grafana").glob("*.json"):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{path.name}: {panel['title']}", target["expr"]
    rules = yaml.safe_load((OBSERVABILITY / "prometheus/rules.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield f"rules.yml: {rule['alert']}", rule["expr"]


def test_dashboards_and_rules_ask_for_metrics_that_exist() -> None:
    asked = list(queries())
    assert len(asked) > 30
    for where, query in asked:
        assert unknown_metrics(query) == set(), where
        assert "airworthy_" in query, where
    assert unknown_metrics("rate(airworthy_rows_lost_total[1h])") == {"airworthy_rows_lost_total"}
    told = {name for _, query in asked for name in re.findall(r"airworthy_\w+", query)}
    assert len(told) > len(every()) / 2, "most metrics are looked at"


def test_every_alert_says_what_to_do_and_is_tested() -> None:
    rules = yaml.safe_load((OBSERVABILITY / "prometheus/rules.yml").read_text())
    tests = (OBSERVABILITY / "prometheus/rules_test.yml").read_text()
    for rule in rules["groups"][0]["rules"]:
        assert rule["labels"]["severity"] in ("page", "ticket", "log")
        assert (PROJECT / rule["annotations"]["runbook"]).exists(), rule["alert"]
        assert rule["annotations"]["look"].startswith("make ")
        assert rule["alert"] in tests, f"{rule['alert']} never fires in a test"
