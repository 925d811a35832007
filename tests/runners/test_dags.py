"""What Airflow is shown: the DAGs that Cosmos and we render from dbt's manifest."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from orchestration.airflow_server import home
from tests.support import shared, states

DAGS = Path(__file__).parents[2] / "orchestration/dags"
Tasks = dict[str, dict[str, Any]]


@cache
def shown() -> tuple[dict[str, Any], dict[str, Any]]:
    """What `draw.py` says of the real project, where Airflow's programs run; and the manifest."""
    folder = shared.once("drawn", _draw)
    manifest: dict[str, Any] = json.loads((folder / "var/dbt/manifest.json").read_text())
    return json.loads((folder / "drawn.json").read_text()), manifest


def _draw(folder: Path) -> None:
    made = states.copy("flights", folder)
    made.parse()
    states.drop(made)
    server = states.server().settings  # Airflow's own database is asked for, and never used
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("draw.py")], cwd=made.project, text=True,
        env=home.environment(server, home.of(server)) | made.variables, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / "drawn.json").write_text(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("mode", ["watcher", "local"])
def test_the_dag_has_exactly_the_manifests_nodes_and_edges(mode: str) -> None:
    drawings, manifest = shown()
    nodes = {
        name: {p for p in node["depends_on"].get("nodes", []) if not p.startswith("source.")}
        for name, node in manifest["nodes"].items()
        if node["resource_type"] != "operation"
    }
    tests = {name for name in nodes if name.startswith("test.")} | manifest["unit_tests"].keys()
    tasks: Tasks = drawings[mode]["tasks"]
    drawn = [node for task in tasks.values() for node in task["nodes"]]
    unit_tests = manifest["unit_tests"]
    assert sorted(drawn) == sorted([*nodes, *unit_tests]), "each node once"
    task_of = {node: name for name, task in tasks.items() for node in task["nodes"]}
    for name, test in unit_tests.items():
        assert task_of[name] == task_of[test["depends_on"]["nodes"][0]], "it runs before its model"

    @cache
    def before(task: str) -> frozenset[str]:
        upstream = frozenset(tasks[task]["upstream"])
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


def test_a_models_meta_sets_retries_pool_and_priority() -> None:
    tasks: Tasks = shown()[0]["meta"]["tasks"]
    (task,) = (t for t in tasks.values() if "model.airworthy.fct_flights" in t["nodes"])
    assert (task["retries"], task["pool"], task["priority"]) == (7, "heavy", 9)


def test_a_dag_file_loads_in_under_a_second_of_processor_time() -> None:
    drawings, _ = shown()
    print(
        f"{drawings['watcher']['seconds']:.2f} s, with 500 models {drawings['many']['seconds']:.2f}"
    )
    assert drawings["watcher"]["seconds"] < 1
    assert len(drawings["many"]["tasks"]) > 500


def test_watch_runs_every_ten_minutes_and_a_missed_deadline_is_told() -> None:
    found = shown()[0]["watch"]
    assert found["tasks"] == {"watch": "watch", "retry": "watch"}
    assert found["expression"] == "*/10 * * * *"
    assert found["is_there"]
    assert found["late"] == "orchestration.dags.parts.alerts.late"


def test_retries_grow_differ_are_capped_and_leave_out_what_cannot_heal() -> None:
    found = shown()[0]["retries"]
    assert found["retries"] == 4
    for n, tried in enumerate(zip(*found["delays"], strict=True), 1):
        longest = min(5 * 2 ** (n - 1), 300)
        assert all(longest / 2 <= seconds <= longest for seconds in tried)
        assert len(set(tried)) > 10, "two runs do not wait for the same time"
    assert found["lasting"]
    assert all("fail" in action.lower() for action in found["lasting"])


def test_dag_files_hold_wiring_only() -> None:
    for path in DAGS.glob("*.py"):
        assert len(path.read_text().splitlines()) <= 80, path
    assert "parts" in (DAGS / ".airflowignore").read_text()
