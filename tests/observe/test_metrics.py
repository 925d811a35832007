"""What Prometheus is told of the ledger."""

from __future__ import annotations

import re
import socket
from datetime import date

import psycopg
import pytest
from prometheus_client import Metric

from tests.observe.scraping import Samples, samples, served
from tests.support import files
from tests.support.checkout import Checkout

THIRD, FOURTH = date(2013, 3, 11), date(2013, 3, 12)
_GROUPS = {
    "deliveries", "rows", "backlog", "runs", "now", "steps", "models", "marts", "gate", "columns",
    "backfills", "lateness",
}  # fmt: skip
# One more expectation, of how values are distributed.
_SUITE = '"expectations": ['
_DIVERGENCE = """
    {
      "type": "expect_column_kl_divergence_to_be_less_than",
      "severity": "warning",
      "kwargs": {
        "column": "station_id", "partition_object": {"$PARAMETER": "usual_shares_station_id"},
        "threshold": 0.1, "tail_weight_holdout": 0.001
      },
      "meta": {"notes": "All stations report."}
    },"""


def test_the_ledger_is_told_and_trouble_shows(published: Checkout) -> None:
    with served(published) as scrape:
        _tell_of_two_publications(samples(scrape()))
        _block_a_run(published)
        after = scrape()
    _tell_of_trouble(samples(after))
    assert {family.name for family in after if not family.samples} == set(), "each has a value"
    _are_named_as_prometheus_wants_it(after)


def test_what_never_happened_is_told_as_zero_so_that_the_first_time_is_an_increase(
    empty: Checkout,
) -> None:
    with served(empty) as scrape:
        before = samples(scrape())
        empty.deliver(["not,the,header", "1,2,3"])
        (empty.landing / "stray.csv").write_text("a\n")
        empty.call("ingest", code=4)
        after = samples(scrape())
    for source in ("readings", "stations", "unmatched"):
        for outcome in ("loaded", "rejected", "duplicate", "withdrawn"):
            assert before["airworthy_deliveries_total", (outcome, source)] == 0
        assert before["airworthy_rows_quarantined_total", (source,)] == 0
    for source in ("readings", "unmatched"):
        assert after["airworthy_deliveries_total", ("rejected", source)] == 1


def _tell_of_two_publications(found: Samples) -> None:
    assert found["airworthy_ledger_up", ()] == 1
    up = {labels[0]: value for (name, labels), value in found.items() if "query_up" in name}
    assert up == dict.fromkeys(_GROUPS, 1)
    for kind in ("first", "changes"):
        assert found["airworthy_runs", (kind, "shell", "published")] == 1
    assert found["airworthy_publications_total", ()] == 2
    assert found["airworthy_rows_received_total", ("readings",)] == 144
    assert found["airworthy_published_rows", ("fct_readings",)] == 144
    assert found["airworthy_rows_published_total", ("inserted", "fct_readings")] == 144
    assert found["airworthy_backlog_deliveries", ("readings",)] == 0
    steps = {labels[0] for name, labels in found if name == "airworthy_step_duration_seconds"}
    assert steps == {"build", "gate", "publish", "all"}
    assert found["airworthy_model_duration_seconds", ("fct_readings",)] > 0
    assert 0 <= found["airworthy_null_share_ratio", ("rain_millimetres", "fct_readings")] <= 1
    assert found["airworthy_mart_freshness_seconds", ("fct_readings",)] > 3600
    assert found["airworthy_gate_blocked", ()] == 0


def _block_a_run(made: Checkout) -> None:
    """Another day, on which it was too hot, and a file that matches no contract."""
    made.edit("expectations/fct_readings.json", _SUITE, _SUITE + _DIVERGENCE)
    made.deliver([*files.readings(THIRD)[:-1], files.reading(THIRD, 23, 2, temperature=70)], THIRD)
    made.deliver(["not,what,was,agreed"], FOURTH)
    made.call("run", code=3)


def _tell_of_trouble(found: Samples) -> None:
    assert found["airworthy_gate_blocked", ()] == 1
    assert found["airworthy_gate_failed_checks", ("critical",)] == 1
    assert found["airworthy_gate_failures_total", ("critical",)] == 1
    assert found["airworthy_deliveries_total", ("rejected", "readings")] == 1
    assert found["airworthy_backlog_deliveries", ("readings",)] == 1
    assert found["airworthy_backlog_oldest_seconds", ("readings",)] > 0
    assert found["airworthy_distribution_divergence", ("station_id", "fct_readings")] >= 0


def _are_named_as_prometheus_wants_it(families: list[Metric]) -> None:
    assert len(families) > 25
    for family in families:
        assert re.fullmatch(r"airworthy_[a-z_]+", family.name)
        assert family.documentation
        assert family.type in ("counter", "gauge")
        counted = {sample.name.endswith("_total") for sample in family.samples}
        assert counted == {family.type == "counter"}, family.name
        for sample in family.samples:
            assert set(sample.labels) <= {
                "source", "outcome", "kind", "runner", "state", "step", "model", "mart", "change",
                "severity", "column", "query",
            }, family.name  # fmt: skip


def test_a_contract_that_cannot_be_read_costs_only_what_needs_it(published: Checkout) -> None:
    (published.project / "contracts/readings.yml").write_text("version: [")
    with served(published) as scrape:
        found = samples(scrape())
    assert found["airworthy_query_up", ("lateness",)] == 0
    assert found["airworthy_query_up", ("runs",)] == 1
    assert ("airworthy_published_rows", ("fct_readings",)) in found


def test_without_a_warehouse_it_says_so_and_comes_back(empty: Checkout) -> None:
    down = {("airworthy_ledger_up", ()): 0.0}
    with served(empty, WAREHOUSE_URL="postgresql://127.0.0.1:9/none") as scrape:
        assert samples(scrape()) == down
    with served(empty) as scrape:
        assert len(scrape()) > 1
        ended = empty.value(
            "select pg_terminate_backend(pid, 60000) from pg_stat_activity"
            " where datname = current_database() and application_name = 'airworthy metrics'"
        )
        assert ended is True
        assert samples(scrape()) == down, "the connection was lost"
        assert len(scrape()) > 1, "the next scrape makes a new one"


def test_it_may_only_look(published: Checkout) -> None:
    with published.connect(role="observer") as connection:
        for forbidden in ("select token from ops.runs", "delete from ops.holds",
                          "select * from published.fct_readings"):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
                connection.execute(forbidden)


def test_a_port_that_is_taken_is_said(empty: Checkout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = empty.call("metrics", METRICS_PORT=str(taken.getsockname()[1]), code=1)
    assert "Address already in use" in said
    assert "METRICS_PORT" in said.partition("next")[2]
