"""Airflow starts what Prefect runs, and the other way round: once, whatever gets lost."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

from orchestration.airflow_server import api as airflow_api
from orchestration.daemons.processes import is_alive
from orchestration.errors import AirworthyError
from orchestration.prefect_server import api as prefect_api
from tests.support.lossy import losing_first_answer
from tests.support.orchestrators import STEPS, Airflow, Prefect, new_day, stop_airflow
from tests.support.patience import until
from tests.support.receiver import Receiver

_NOWHERE = "http://127.0.0.1:9"
_CHUNKS = (
    "select chunks.state, runner from ops.backfill_chunk_states as chunks"
    " left join ops.runs using (run_id) order by number"
)
_NEWEST = "select runner, state from ops.runs order by run_id desc limit 1"


def test_each_starts_a_run_of_the_other_and_waits(airflow: Airflow, prefect: Prefect) -> None:
    by_airflow = airflow.start("run_prefect")
    assert airflow.end(by_airflow, "run_prefect") == "success"
    key = f"airflow.run_prefect.{by_airflow}.run.-1"
    (run,) = (run for run in prefect.runs() if run["idempotency_key"] == key)
    assert prefect.end(run["id"])["type"] == "COMPLETED"

    by_prefect = prefect.start("airflow-dag")
    said = f"Airflow's run prefect.{by_prefect} of warehouse succeeded."
    assert prefect.end(by_prefect)["message"] == said
    assert airflow.client.state("warehouse", f"prefect.{by_prefect}") == "success"


def test_prefect_announces_an_asset_that_starts_a_dag(airflow: Airflow, prefect: Prefect) -> None:
    before = len(airflow.runs("ingest"))
    assert prefect.end(prefect.start("airflow-asset"))["type"] == "COMPLETED"
    until(lambda: len(airflow.runs("ingest")) > before, 60, every=0.3)


@pytest.mark.parametrize("dag", list(STEPS))
def test_the_steps_of_airflow_are_those_of_prefect(airflow: Airflow, dag: str) -> None:
    tasks = {t["task_id"]: t for t in airflow.client.get(f"dags/{dag}/tasks")["tasks"]}
    below = {name: _reached(tasks, name) for name in tasks}
    first_first = sorted(tasks, key=lambda name: (-len(below[name]), name))
    steps = dict.fromkeys(name.split(".")[0] for name in first_first)  # `build` is a group
    assert list(steps) == STEPS[dag]


def _reached(tasks: dict[str, dict[str, list[str]]], name: str) -> set[str]:
    direct = tasks[name]["downstream_task_ids"]
    return set(direct).union(*(_reached(tasks, each) for each in direct))


def test_a_lost_answer_starts_no_second_run(airflow: Airflow, prefect: Prefect) -> None:
    with losing_first_answer(prefect.home.address, "create_flow_run") as address:
        client = prefect_api.Client(f"{address}/api", prefect.home.login)
        run_id = client.start("warehouse/local", "asked once")
    asked = [r["id"] for r in prefect.runs() if r["idempotency_key"] == "asked once"]
    assert asked == [run_id]

    with losing_first_answer(airflow.address, "dagRuns") as address:
        airflow_api.Client(address, airflow.password).start("warehouse", "asked-once")
    runs = airflow.client.get("dags/warehouse/dagRuns?limit=100")["dag_runs"]
    assert [r["dag_run_id"] for r in runs].count("asked-once") == 1
    with losing_first_answer(airflow.address, "assets/events") as address:
        airflow_api.Client(address, airflow.password).announce("landing", "told once")
    events = airflow.client.get("assets/events?limit=100")["asset_events"]
    assert [e["extra"].get("key") for e in events].count("told once") == 1
    assert prefect.end(run_id)["type"] == "COMPLETED"
    assert airflow.end("asked-once") == "success"


def test_a_server_that_is_down_is_named_with_what_starts_it() -> None:
    with pytest.raises(AirworthyError, match=f"Prefect's server at {_NOWHERE}") as found:
        prefect_api.Client(_NOWHERE, "a:b").call("GET", "ready")
    assert "make prefect" in found.value.todo
    with pytest.raises(AirworthyError, match=f"Airflow's API server at {_NOWHERE}") as found:
        airflow_api.Client(_NOWHERE, "").call("GET", "dags")
    assert "make airflow" in found.value.todo


def test_a_backfill_begun_in_airflow_is_stopped_and_goes_on_in_prefect(
    airflow: Airflow, prefect: Prefect
) -> None:
    made = prefect.checkout
    days = [new_day() for _ in range(3)]
    for day in days:
        made.land(day)
        made.call("ingest")
    made.call("run")
    digest = made.call("digest")
    asked = {"start": f"{days[0]}", "end": f"{days[-1]}", "chunk": "day", "reason": "tested"}
    with made.locked("candidate.fct_readings"):
        run = airflow.start("backfill", **asked)
        until(lambda: made.query("select from ops.runs where kind = 'backfill'"), 120)
        made.call("backfill-pause")
    assert airflow.end(run, "backfill") == "failed"
    assert made.query(_CHUNKS) == [("published", "airflow"), ("waiting", None), ("waiting", None)]

    number = made.value("select max(backfill_id) from ops.backfills")
    ended = prefect.end(prefect.start("backfill", resume=number))
    assert ended["message"] == f"Backfill {number} is done."
    assert made.query(_CHUNKS) == [
        ("published", "airflow"), ("published", "prefect"), ("published", "prefect")
    ]  # fmt: skip
    assert made.query("select state from ops.backfills") == [("finished",)]
    assert made.call("digest") == digest


@pytest.mark.parametrize("runner", ["airflow", "prefect"])
def test_what_nobody_published_is_tried_once_more(
    airflow: Airflow, prefect: Prefect, runner: str
) -> None:
    made = prefect.checkout
    newest = "select max(delivery_id) from ops.active_deliveries where source = 'readings'"
    made.call("replay", "--delivery", str(made.value(newest)))  # which no runner hears of
    made.age()
    if runner == "airflow":
        assert airflow.end(airflow.start("watch"), "watch") == "success"
    else:
        assert prefect.end(prefect.start("watch"))["type"] == "COMPLETED"
    until(lambda: made.query("select from ops.unattended") == [], 120, every=0.1)
    until(lambda: made.query(_NEWEST) == [(runner, "published")], 60)
    assert made.query(f"select from ops.retries where delivery_id = ({newest})")


def test_airflow_refuses_a_backfill_that_makes_no_sense(airflow: Airflow) -> None:
    with pytest.raises(airflow_api.Refused, match="chunk"):
        airflow.start("backfill", start="2013-03-09", chunk="fortnight")
    no_sense = airflow.start("backfill", start="2013-03-10", end="2013-03-09")
    looked = airflow.start("backfill", start="2013-03-09", end="2013-03-09", dry_run="1")
    assert airflow.end(no_sense, "backfill") == "failed"
    assert airflow.end(looked, "backfill") == "success"


def test_lineage_names_jobs_and_datasets_alike_whoever_ran_them(
    airflow: Airflow, prefect: Prefect, collector: Receiver
) -> None:
    made = prefect.checkout
    made.deliver(["not,what,was,agreed"], new_day())
    made.correct()
    made.call("run", code=4, OPENLINEAGE_URL=collector.address)
    first = (made.var / "lineage/events.jsonl").read_text().splitlines()  # the first run's
    heard = [*map(json.loads, first), *collector.heard]
    told = [event for event in heard if event["eventType"] == "COMPLETE"]
    runners = {
        event["run"]["runId"]: _tags(event)["runner"] for event in told
        if event["job"]["name"] == "run" and event["job"]["namespace"] == "airworthy"
    }  # fmt: skip
    names: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for event in told:
        parent = event["run"]["facets"].get("parent", {}).get("run", {}).get("runId")
        if parent in runners:
            for named in (event["job"], *event["inputs"], *event["outputs"]):
                if named["namespace"] != "file":  # each had files of its own
                    names[runners[parent]].add((named["namespace"], named["name"]))
    # What each had to build differs by its days; the first run, by the shell, built everything.
    assert set(names) == {"shell", "airflow", "prefect"}
    assert ("airworthy", "build.candidate.fct_readings") in names["airflow"] & names["prefect"]
    assert names["airflow"] <= names["shell"]
    assert names["prefect"] <= names["shell"]
    assert any(event["job"]["name"] == "warehouse.publish" for event in told), "Airflow's own"


def _tags(event: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in event["run"]["facets"]["tags"]["tags"]}


def test_airflow_ends_with_all_of_its_processes(airflow: Airflow) -> None:
    running = airflow.processes()
    assert set(running) == {"api-server", "dag-processor", "triggerer", "scheduler"}
    below = [child for process in running.values() for child in process.children(recursive=True)]
    said = stop_airflow()
    assert "stopped" in said
    until(lambda: not any(is_alive(p) for p in [*running.values(), *below]), 60)
    assert airflow.processes() == {}
