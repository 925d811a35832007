"""What Prometheus and Grafana ask of our metrics; the rules; and what Airflow tells of itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
import yaml

from orchestration.airflow_server import home as airflow
from orchestration.settings import PROJECT
from tests.observe.scraping import names, served
from tests.support import states
from tests.support.checkout import Checkout
from tests.support.needs import PROMETHEUS
from tests.support.receiver import Receiver

OBSERVABILITY = PROJECT / "observability"
_COUNT = """
from airflow.observability.metrics.stats_utils import get_stats_factory as factory
from opentelemetry.metrics import get_meter_provider
factory()().incr("dagrun.schedule")
get_meter_provider().force_flush()
"""


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


def test_airflow_sends_its_metrics_to_the_address() -> None:
    """With the environment of its programs: all of Airflow would take a minute to send the same."""
    receiver = Receiver()
    with receiver.up():
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address}
        given = Checkout(states.server().folder, variables).settings
        variables = airflow.environment(given, airflow.of(given))
        done = subprocess.run([sys.executable, "-c", _COUNT], env=variables, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert receiver.paths[0] == "/v1/metrics"
    assert b"airflow.dagrun.schedule" in receiver.heard[0]


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


def ours_in(query: str) -> set[str]:
    return set(re.findall(r"\bairworthy_\w+", query))


def test_dashboards_and_rules_ask_for_metrics_that_exist(empty: Checkout) -> None:
    with served(empty) as scrape:
        known = names(scrape())
    asked = list(queries())
    assert len(asked) > 30
    for where, query in asked:
        assert ours_in(query) <= known, where
        assert "airworthy_" in query, where
    lost = "rate(airworthy_rows_lost_total[1h])"
    assert ours_in(lost) - known == {"airworthy_rows_lost_total"}
    assert len({name for _, query in asked for name in ours_in(query)}) > len(known) / 2


def test_every_alert_says_what_to_do_and_is_tested() -> None:
    rules = yaml.safe_load((OBSERVABILITY / "prometheus/rules.yml").read_text())
    tests = (OBSERVABILITY / "prometheus/rules_test.yml").read_text()
    for rule in rules["groups"][0]["rules"]:
        assert rule["labels"]["severity"] in ("page", "ticket", "log")
        assert (PROJECT / rule["annotations"]["runbook"]).exists(), rule["alert"]
        assert rule["annotations"]["look"].startswith("make ")
        assert rule["alert"] in tests, f"{rule['alert']} never fires in a test"
