"""The one Airflow and the one Prefect of a test run, over one warehouse with the small project.

Each looks at a landing place of its own, so that what a test lets land is taken in by the one that
it is about. Tests have days, DAG runs and flow runs of their own. They run one after the other, on
one worker (`schedule.py`): there is one warehouse, and one run at a time in it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psutil

from orchestration.airflow_server import api as airflow_api
from orchestration.airflow_server import home as airflow_home
from orchestration.daemons import processes
from orchestration.prefect_server import api as prefect_api
from orchestration.prefect_server import home as prefect_home
from orchestration.settings import PROJECT
from tests.support import shared, states
from tests.support.checkout import Checkout
from tests.support.patience import until

# What both orchestrators run, in this order.
STEPS = {
    "warehouse": ["plan", "build", "gate", "publish"],
    "ingest": ["find", "take_in", "announce", "reject"],
    "backfill": ["plan", "chunk", "finish"],
    "watch": ["watch", "retry"],
}
PRODUCER = "build.dbt_producer_watcher"
FIRST = date(2013, 3, 9)
# The project's DAGs, and `warehouse` once more, with a dbt per model.
_BUNDLES = [
    {
        "name": name,
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(path), "refresh_interval": 60},
    }
    for name, path in (
        ("dags-folder", PROJECT / "orchestration/dags"),
        ("local-mode", PROJECT / "tests/runners/local_mode"),
    )
]
_PATIENCE_SECONDS = 120
_ENDED = ("success", "failed")
_days = (FIRST + timedelta(n) for n in itertools.count(1))
Found = dict[str, Any]


def new_day() -> date:
    """A date whose readings no test has seen yet."""
    return next(_days)


def served() -> Checkout:
    """The checkout that both serve, in which a first day was published from the shell."""
    return Checkout(shared.once("served", _publish_a_day))


def _publish_a_day(folder: Path) -> None:
    made = states.with_server(folder)
    made.list_stations()
    made.land(FIRST)
    made.call("run")


@dataclass(frozen=True)
class Airflow:
    """Airflow, as its page and its REST API show it.

    Attributes:
        checkout: what it serves, with the landing place that it watches.
    """

    checkout: Checkout
    client: airflow_api.Client
    address: str
    password: str

    def start(self, dag: str = "warehouse", **given: Any) -> str:
        """The id of a new run."""
        return self.client.start(dag, given=given)

    def end(self, run: str, dag: str = "warehouse") -> str:
        """The state that a DAG run ends in."""

        def ended() -> str | None:
            state = self.client.state(dag, run)
            return state if state in _ENDED else None

        return str(until(ended, _PATIENCE_SECONDS, every=0.2, otherwise=lambda: self.tasks(run)))

    def tasks(self, run: str, dag: str = "warehouse") -> dict[str, Found]:
        found = self.client.get(f"dags/{dag}/dagRuns/{run}/taskInstances?limit=200")
        return {task["task_id"]: task for task in found["task_instances"]}

    def runs(self, dag: str = "warehouse", query: str = "") -> list[Found]:
        """The newest runs, the newest first."""
        path = f"dags/{dag}/dagRuns?order_by=-start_date&limit=50{query}"
        found: list[Found] = self.client.get(path)["dag_runs"]
        return found

    def building(self) -> tuple[str, psutil.Process]:
        """The DAG run that builds, once it does, and the process of its producer."""

        def look() -> tuple[str, psutil.Process] | None:
            for run in self.runs(query="&state=running"):
                task = self.tasks(run["dag_run_id"]).get(PRODUCER, {})
                if task.get("state") == "running" and task.get("pid"):
                    with contextlib.suppress(psutil.NoSuchProcess):  # nobody has noticed yet
                        return run["dag_run_id"], psutil.Process(task["pid"])
            return None

        found = until(look, _PATIENCE_SECONDS, every=0.1)
        assert found
        return found

    def processes(self) -> dict[str, psutil.Process]:
        """Those that `make airflow` started and that live, by name."""
        return processes.recorded(airflow_home.of(self.checkout.settings))

    def clear(self, run: str, *tasks: str) -> None:
        wanted = {"task_ids": list(tasks)} if tasks else {}
        options = {"dry_run": False, "only_failed": False, "reset_dag_runs": True}
        body = {"dag_run_id": run, **options, **wanted}
        self.client.call("POST", "dags/warehouse/clearTaskInstances", body)


@dataclass(frozen=True)
class Prefect:
    """Prefect, as its page and its REST API show it.

    Attributes:
        checkout: what it serves, with the landing place that it watches.
    """

    checkout: Checkout
    client: prefect_api.Client
    home: prefect_home.Home

    def start(self, flow: str = "warehouse", **given: Any) -> str:
        """The id of a new run."""
        return self.client.start(f"{flow}/local", given=given)

    def end(self, run: str) -> Found:
        """The state that a run ends in: type, name, message."""

        def ended() -> Found | None:
            state = self.client.state(run)
            return state if state["type"] in prefect_api.ENDED else None

        found = until(ended, _PATIENCE_SECONDS, every=0.2, otherwise=lambda: self.tasks(run))
        assert found
        return found

    def runs(self, flow: str = "warehouse") -> list[Found]:
        """All runs of a flow, in the order of their start."""
        body = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_ASC"}
        found: list[Found] = self.client.call("POST", "flow_runs/filter", body)
        return found

    def tasks(self, run: str) -> list[Found]:
        body = {"flow_runs": {"id": {"any_": [run]}}, "limit": 200}
        found: list[Found] = self.client.call("POST", "task_runs/filter", body)
        return sorted(found, key=lambda task: task["start_time"] or "")

    def task(self, run: str, name: str) -> Found:
        return next(t for t in self.tasks(run) if t["name"].startswith(name))

    def building(self, run: str, model: str) -> psutil.Process:
        """The process of step build, once it has come to a model, where it waits for a lock."""

        def look() -> bool:
            return any(model in task["name"] for task in self.tasks(run))

        until(look, _PATIENCE_SECONDS, every=0.1)
        (process,) = self.step_processes()
        return process

    def step_processes(self) -> list[psutil.Process]:
        """Those that live; each leads a session of its own."""
        below = processes.recorded(self.home)["steps"].children()
        return [p for p in below if processes.is_alive(p) and os.getsid(p.pid) == p.pid]

    def flow_process(self) -> psutil.Process:
        (process,) = processes.recorded(self.home)["flows"].children()
        return process


def airflow(**variables: str) -> Airflow:
    """Airflow, started by whoever needs it first.

    Args:
        variables: of its environment, at that first time.
    """
    made = _with_landing("airflow", variables)
    made.variables["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"] = json.dumps(_BUNDLES)
    shared.once("airflow", lambda _: made.call("airflow"))
    home = airflow_home.of(made.settings)
    client = airflow_api.Client(home.address, home.password)
    return Airflow(made, client, home.address, home.password)


def prefect(**variables: str) -> Prefect:
    """Prefect, started by whoever needs it first; its clocks start nothing.

    Args:
        variables: of its environment, at that first time.
    """
    made = _with_landing("prefect", variables)
    made.variables["PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED"] = "false"
    shared.once("prefect", lambda _: made.call("prefect"))
    home = prefect_home.of(made.settings)
    return Prefect(made, prefect_api.Client(home.api, home.login), home)


def stop_airflow() -> str:
    """Stop it, where it runs: it is busy with itself. What the verb said."""
    with shared.unlocked("airflow") as was_made:
        return served().call("airflow-down") if was_made else ""


def _with_landing(name: str, variables: dict[str, str]) -> Checkout:
    landing = served().folder / f"landing-{name}"
    landing.mkdir(exist_ok=True)
    return _Watched(served().folder, {"LANDING_URL": str(landing), **variables})


class _Watched(Checkout):
    """A checkout whose landing place is not the folder of that name."""

    @property
    def landing(self) -> Path:
        return Path(self.variables.get("LANDING_URL", self.folder / "landing"))


def digest_by_shell(folder: Path) -> str:
    """What one run in a shell makes of all that landed anywhere, in a warehouse of its own."""
    alone = states.copy("empty", folder)
    for landing in served().folder.glob("landing*"):
        shutil.copytree(landing, alone.landing, dirs_exist_ok=True)
    assert alone.start("run").wait() in (0, 4)  # 4: a test let a file land that is rejected
    digest = alone.call("digest")
    states.drop(alone)
    return digest
