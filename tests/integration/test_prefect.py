"""What Prefect runs ends as what the shell runs, or not at all; with the real server."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import yaml

from tests.checkout import STEPS, Checkout

_MODEL = "models/marts/flights/agg_airlines_daily.sql"
_SUITE = "expectations/agg_airlines_daily.json"
_LAST = "select * from aggregated"
_MART = "candidate.agg_airlines_daily"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """Prefect serving a checkout in which one day has been published."""
    checkout = Checkout.at(tmp_path_factory.mktemp("checkout") / "project")
    try:
        checkout.verb("prefect")
        checkout.land("2013-01-01")
        for _ in checkout.patiently():
            if checkout.ask("select count(*) from ops.publications") == "1":
                break
        yield checkout
    finally:
        checkout.verb("prefect-down")
        checkout.verb("clean-data")


def test_what_lands_is_published_as_the_shell_does_it(served: Checkout, tmp_path: Path) -> None:
    shell = {"VAR_DIR": str(tmp_path / "var"), "LANDING_URL": str(served.folder / "landing")}
    served.verb("run", **shell)
    by_shell = served.verb("digest", **shell)
    served.verb("clean-data", **shell)
    assert served.verb("digest") == by_shell
    assert served.ask("select distinct runner from ops.runs") == "prefect"
    (run,) = served.runs("warehouse")
    assert served.end(run["id"])["message"] == "Run 1 is published."


def test_its_metrics_are_where_prometheus_looks(served: Checkout) -> None:
    scraped = yaml.safe_load(
        (served.folder / "observability/prometheus/prometheus.yml").read_text()
    )
    (job,) = [job for job in scraped["scrape_configs"] if job["job_name"] == "prefect"]
    below = served.folder / "observability/prometheus"
    ((found,),) = [group["files"] for group in job["file_sd_configs"]]
    ((target,),) = [group["targets"] for group in json.loads((below / found).read_text())]
    password = (below / job["basic_auth"]["password_file"]).read_text()
    login = base64.b64encode(f"{job['basic_auth']['username']}:{password}".encode()).decode()
    asked = Request(
        f"http://{target}{job['metrics_path']}", headers={"Authorization": f"Basic {login}"}
    )
    with urlopen(asked) as answer:
        assert b"process_cpu_seconds_total" in answer.read()


def test_the_steps_are_tasks_in_their_order_and_each_node_is_one(served: Checkout) -> None:
    served.end(served.start("watch"))
    for flow in ("warehouse", "ingest", "watch"):
        steps = STEPS[flow]
        names = [task["name"] for task in served.tasks(served.runs(flow)[0]["id"])]
        assert list(dict.fromkeys(name for name in names if " " not in name)) == steps
        nodes = served.ask(
            "select resource_type || ' ' || name from ops.run_nodes where run_id = 1"
        ).splitlines()
        assert sorted(name for name in names if " " in name) == (
            sorted(nodes) if flow == "warehouse" else []
        )


def test_a_run_leaves_its_account_and_its_assets(served: Checkout) -> None:
    artifacts = served.client.call("POST", "artifacts/filter", {})
    account = next(a["data"] for a in artifacts if "Run 1:" in a["data"])
    for word in ("published", "flights", "**Passed.**", "agg\\_airlines\\_daily", "make diff"):
        assert word in account
    body = {"filter": {"event": {"prefix": ["prefect.asset.materialization"]}}, "limit": 50}
    events = served.client.call("POST", "events/filter", body)["events"]
    keys = {event["resource"]["prefect.resource.id"] for event in events}
    assert "postgres://airworthy/candidate/agg_airlines_daily" in keys


def test_a_failed_model_fails_the_flow_and_publishes_nothing(served: Checkout) -> None:
    before = served.verb("digest")
    mend = served.change(_MODEL, _LAST, f"{_LAST} where 1 / 0 = 1")
    run = served.start()
    assert served.end(run)["type"] == "FAILED"
    mend()
    assert served.task(run, "model agg_airlines_daily")["state_name"] == "Failed"
    build = served.task(run, "build")
    assert (build["state_name"], build["run_count"]) == ("Failed", 1)
    assert all(not task["name"].startswith("publish") for task in served.tasks(run))
    assert served.verb("digest") == before


def test_a_blocking_gate_fails_the_flow_at_once(served: Checkout) -> None:
    before = served.verb("digest")
    mend = served.change(_SUITE, '"expectations": [', '"expectations": [' + _IMPOSSIBLE)
    run = served.start()
    ended = served.end(run)
    mend()
    assert ended["type"] == "FAILED"
    assert "expect_table_row_count_to_equal" in ended["message"]
    assert served.task(run, "gate")["run_count"] == 1
    assert served.verb("digest") == before


def test_a_step_that_takes_too_long_is_ended_with_its_process(served: Checkout) -> None:
    served.change(_MODEL, _LAST, f"{_LAST} where 1 = 1")
    limit = served.folder / ".env"
    limit.write_text("STEP_TIMEOUT_SECONDS=15\n")
    with served.locked(_MART):
        run = served.start()
        ended = served.end(run)
    limit.unlink()
    assert ended["type"] == "FAILED"
    assert "Step build took more than 15 seconds" in ended["message"]
    assert served.step_processes() == []
    assert all(task["end_time"] for task in served.tasks(run))


def test_a_cancelled_flow_leaves_no_live_run(served: Checkout) -> None:
    with served.locked(_MART):
        run = served.start()
        served.await_dbt(run)
        served.client.cancel(run)
        assert served.end(run)["type"] == "CANCELLED"
        assert served.step_processes() == []
    assert served.ask("select state from ops.runs order by run_id desc limit 1") == "superseded"


def test_a_killed_step_is_done_again(served: Checkout) -> None:
    with served.locked(_MART):
        run = served.start()
        served.await_dbt(run).kill()
    assert served.end(run)["type"] == "COMPLETED"
    assert served.task(run, "build")["run_count"] == 2


def test_a_killed_flow_is_crashed_and_the_next_converges(served: Checkout) -> None:
    before = served.verb("digest")
    served.change(_MODEL, "1 = 1", "2 = 2")
    with served.locked(_MART):
        run = served.start()
        served.await_dbt(run)
        served.flow_process().kill()
        assert served.end(run)["type"] == "CRASHED"
        for _ in served.patiently():
            if not served.step_processes():
                break
    assert served.end(served.start())["type"] == "COMPLETED"
    assert served.verb("digest") == before


def test_a_held_publication_is_no_failure_and_comes_later(served: Checkout) -> None:
    served.verb("rollback", "--reason", "tested")
    held = served.verb("digest")
    served.change(_MODEL, "2 = 2", "3 = 3")
    ended = served.end(served.start())
    assert ended["type"] == "COMPLETED", ended["message"]
    assert "passed and waits. Publishing is held since" in ended["message"]
    assert served.verb("digest") == held
    served.verb("resume", "--reason", "tested")
    assert served.end(served.start())["message"].endswith("is published.")


_IMPOSSIBLE = """
    {"type": "expect_table_row_count_to_equal", "kwargs": {"value": -1}, "severity": "critical",
     "meta": {"notes": "never"}},"""
