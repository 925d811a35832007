"""What Airflow is shown: the DAGs that Cosmos and we render from dbt's manifest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestration.airflow_server import home
from orchestration.building.build import manifest_path, parse
from orchestration.settings import PROJECT, Settings

_RENDER = """
import importlib, json, sys, time
for library in ("airflow.sdk", "cosmos.airflow.task_group", "cosmos.operators.watcher"):
    importlib.import_module(library)
from orchestration.dags.parts import models
models.dbt_group  # the libraries that ours load are loaded now
started = time.process_time()  # what else the machine does is not to count
warehouse = importlib.import_module("orchestration.dags.warehouse")
seconds = time.process_time() - started
dag = warehouse.dag
tasks = {}
for task in dag.tasks:
    arguments = getattr(task, "start_trigger_args", None)
    tasks[task.task_id] = {
        "nodes": getattr(task, "watched", None)
        or (arguments.trigger_kwargs["watched"] if arguments else []),
        "upstream": sorted(task.upstream_task_ids),
        "retries": task.retries,
        "pool": task.pool,
        "priority": task.priority_weight,
    }
json.dump({"seconds": seconds, "tasks": tasks}, sys.stdout)
"""


@pytest.fixture(scope="module")
def given(embedded_server: Settings) -> Settings:
    """A parsed project."""
    parse(embedded_server, write=True)
    return embedded_server


def render(given: Settings, mode: str = "watcher") -> dict[str, Any]:
    return ask(given, _RENDER, COSMOS_MODE=mode)


def ask(given: Settings, program: str, **more: str) -> dict[str, Any]:
    """What a program says that runs where Airflow's do."""
    variables = home.environment(given, home.of(given)) | {"VAR_DIR": str(given.var)} | more
    done = subprocess.run(
        [sys.executable, "-c", program], env=variables, cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("mode", ["watcher", "local"])
def test_the_dag_has_exactly_the_manifests_nodes_and_edges(given: Settings, mode: str) -> None:
    manifest = json.loads(manifest_path(given).read_text())
    nodes = {
        name: {p for p in node["depends_on"].get("nodes", []) if not p.startswith("source.")}
        for name, node in manifest["nodes"].items()
        if node["resource_type"] != "operation"
    }
    tests = {name for name in nodes if name.startswith("test.")}
    tasks = render(given, mode)["tasks"]
    drawn = [node for task in tasks.values() for node in task["nodes"]]
    assert sorted(drawn) == sorted(nodes), "each node once"
    task_of = {node: name for name, task in tasks.items() for node in task["nodes"]}

    def before(task: str) -> set[str]:
        upstream = set(tasks[task]["upstream"])
        return upstream.union(*(before(each) for each in upstream))

    for node, parents in nodes.items():
        for parent in parents:
            assert task_of[parent] in before(task_of[node]), f"{parent} -> {node}"
    # Nothing else joins two nodes: an edge of the picture is one of the manifest's.
    for task in tasks.values():
        mine = {node for node in task["nodes"] if node not in tests}
        for upstream in task["upstream"]:
            theirs = {node for node in tasks[upstream]["nodes"] if node not in tests}
            assert not mine or not theirs or any(p in theirs for n in mine for p in nodes[n])


def test_a_models_meta_sets_retries_pool_and_priority(given: Settings) -> None:
    path = manifest_path(given)
    whole = path.read_text()
    manifest = json.loads(whole)
    wanted = {"retries": 7, "pool": "heavy", "priority_weight": 9}
    node = manifest["nodes"]["model.airworthy.fct_flights"]
    for meta in (node["config"]["meta"], node["meta"]):
        meta["cosmos"] = {"operator_kwargs": wanted}
    path.write_text(json.dumps(manifest))
    try:
        tasks = render(given, "local")["tasks"]
    finally:
        path.write_text(whole)
    (task,) = (t for t in tasks.values() if t["nodes"] == ["model.airworthy.fct_flights"])
    assert (task["retries"], task["pool"], task["priority"]) == (7, "heavy", 9)


def test_a_dag_file_loads_in_under_a_second_for_hundreds_of_models(given: Settings) -> None:
    path = manifest_path(given)
    whole = path.read_text()
    small = min(render(given)["seconds"] for _ in range(2))
    manifest = json.loads(whole)
    model = manifest["nodes"]["model.airworthy.dim_airlines"]
    for n in range(500):
        name = f"model.airworthy.dim_{n:03}"
        again = {"unique_id": name, "name": f"dim_{n:03}", "alias": f"dim_{n:03}"}
        manifest["nodes"][name] = model | again | {"fqn": [*model["fqn"][:-1], f"dim_{n:03}"]}
    path.write_text(json.dumps(manifest))
    try:
        large = min(render(given)["seconds"] for _ in range(2))
    finally:
        path.write_text(whole)
    print(f"{small:.2f} s, with 500 models more {large:.2f} s")
    assert small < 1


_WATCH = """
import json, sys
from orchestration.dags import warehouse, watch
from orchestration.dags.parts import alerts
(deadline,) = warehouse.dag.deadline
late = deadline.callback.path
tasks = {task.task_id: task.pool for task in watch.dag.tasks}
json.dump({"tasks": tasks, "late": late, "is_there": callable(getattr(alerts, late.split(".")[-1])),
           "expression": watch.dag.timetable._expression}, sys.stdout)
"""


def test_watch_runs_every_ten_minutes_and_a_missed_deadline_is_told(given: Settings) -> None:
    found = ask(given, _WATCH)
    assert found["tasks"] == {"watch": "watch", "retry": "watch"}
    assert found["expression"] == "*/10 * * * *"
    assert found["is_there"]
    assert found["late"] == "orchestration.dags.parts.alerts.late"


def test_dag_files_hold_wiring_only() -> None:
    for path in (PROJECT / "orchestration/dags").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 80, path
    config = Path(PROJECT / "orchestration/dags/.airflowignore").read_text()
    assert "parts" in config


_RETRY = """
import json, sys
from orchestration import errors
from orchestration.dags.parts.retries import RETRIES
policy = RETRIES["retry_policy"]
delays = [[policy.evaluate(OSError("gone"), n, 4).retry_delay.total_seconds() for n in range(1, 10)]
          for _ in range(20)]
lasting = [str(policy.evaluate(kind("so it is"), 1, 4).action) for kind in errors.LASTING]
json.dump({"retries": RETRIES["retries"], "delays": delays, "lasting": lasting}, sys.stdout)
"""


def test_retries_grow_differ_are_capped_and_leave_out_what_cannot_heal(given: Settings) -> None:
    found = ask(given, _RETRY)
    assert found["retries"] == 4
    for n, tried in enumerate(zip(*found["delays"], strict=True), 1):
        longest = min(5 * 2 ** (n - 1), 300)
        assert all(longest / 2 <= seconds <= longest for seconds in tried)
        assert len(set(tried)) > 10, "two runs do not wait for the same time"
    assert all("fail" in action.lower() for action in found["lasting"])
