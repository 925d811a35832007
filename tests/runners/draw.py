"""Says as JSON what Airflow would show of the project: run where Airflow's own programs run.

In one process, because loading Airflow and Cosmos takes longer than all of it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

Manifest = dict[str, Any]


def main() -> None:
    for library in ("airflow.sdk", "cosmos.airflow.task_group", "cosmos.operators.watcher"):
        importlib.import_module(library)
    importlib.import_module("orchestration.dags.parts.models")  # loads the libraries it needs
    path = Path(os.environ["VAR_DIR"]) / "dbt/manifest.json"
    whole = path.read_text()
    said = {mode: _draw(mode) for mode in ("watcher", "local")}
    said["meta"] = _with(path, _with_meta(json.loads(whole)), "local")
    said["many"] = _with(path, _with_many(json.loads(whole)), "watcher")
    path.write_text(whole)
    said |= {"watch": _watch(), "retries": _retries()}
    json.dump(said, sys.stdout)


def _draw(mode: str) -> dict[str, Any]:
    os.environ["COSMOS_MODE"] = mode
    sys.modules.pop("orchestration.dags.warehouse", None)
    started = time.process_time()  # what else the machine does is not to count
    dag = importlib.import_module("orchestration.dags.warehouse").dag
    seconds = time.process_time() - started
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
    return {"seconds": seconds, "tasks": tasks}


def _with(path: Path, manifest: Manifest, mode: str) -> dict[str, Any]:
    path.write_text(json.dumps(manifest))
    return _draw(mode)


def _with_meta(manifest: Manifest) -> Manifest:
    wanted = {"retries": 7, "pool": "heavy", "priority_weight": 9}
    node = manifest["nodes"]["model.airworthy.fct_flights"]
    for meta in (node["config"]["meta"], node["meta"]):
        meta["cosmos"] = {"operator_kwargs": wanted}
    return manifest


def _with_many(manifest: Manifest) -> Manifest:
    model = manifest["nodes"]["model.airworthy.dim_airlines"]
    for n in range(500):
        name = f"model.airworthy.dim_{n:03}"
        again = {"unique_id": name, "name": f"dim_{n:03}", "alias": f"dim_{n:03}"}
        manifest["nodes"][name] = model | again | {"fqn": [*model["fqn"][:-1], f"dim_{n:03}"]}
    return manifest


def _watch() -> dict[str, Any]:
    warehouse = importlib.import_module("orchestration.dags.warehouse")
    watch = importlib.import_module("orchestration.dags.watch")
    alerts = importlib.import_module("orchestration.dags.parts.alerts")
    (deadline,) = warehouse.dag.deadline
    late = deadline.callback.path
    return {
        "tasks": {task.task_id: task.pool for task in watch.dag.tasks},
        "late": late,
        "is_there": callable(getattr(alerts, late.split(".")[-1])),
        "expression": watch.dag.timetable._expression,
    }


def _retries() -> dict[str, Any]:
    from orchestration import errors

    retries = importlib.import_module("orchestration.dags.parts.retries").RETRIES
    policy = retries["retry_policy"]
    delays = [
        [policy.evaluate(OSError("gone"), n, 4).retry_delay.total_seconds() for n in range(1, 10)]
        for _ in range(20)
    ]
    lasting = [str(policy.evaluate(kind("so it is"), 1, 4).action) for kind in errors.LASTING]
    return {"retries": retries["retries"], "delays": delays, "lasting": lasting}


if __name__ == "__main__":
    main()
