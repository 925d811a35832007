"""The same models through Airflow: plain dbt, Cosmos as its docs show it, and ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from unittest.mock import patch

import psutil

from benchmarks.__main__ import table, write
from orchestration import database, settings
from orchestration.airflow_server import api, components, home
from orchestration.building.build import environment, manifest_path, parse
from orchestration.daemons import processes
from orchestration.ingesting import sample
from orchestration.run import run
from orchestration.settings import PROJECT, Settings, environment_with
from orchestration.warehouse_server import warehouse
from tests.support.files import path_of

_ROUNDS = {"stock_local": 1, "stock_watcher": 2, "warehouse": 3}
_STOCK = """
from datetime import datetime
from pathlib import Path
from airflow.sdk import DAG
from cosmos import DbtTaskGroup, ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import ExecutionMode, InvocationMode, LoadMode

for mode in ("watcher", "local"):
    with DAG(f"stock_{{mode}}", schedule=None, is_paused_upon_creation=False) as dag:
        DbtTaskGroup(
            group_id="build",
            project_config=ProjectConfig(
                dbt_project_path=Path({project!r}), manifest_path=Path({manifest!r}),
                project_name="airworthy", install_dbt_deps=False,
            ),
            profile_config=ProfileConfig(
                profile_name="airworthy", target_name="ci",
                profiles_yml_filepath=Path({project!r}) / "profiles.yml",
            ),
            render_config=RenderConfig(load_method=LoadMode.DBT_MANIFEST),
            execution_config=ExecutionConfig(
                execution_mode=ExecutionMode(mode), invocation_mode=InvocationMode.DBT_RUNNER
            ),
        )
    globals()[mode] = dag
"""


def measure(given: Settings) -> None:
    """Three days of flights; each way, some rounds, stock Cosmos in a stock Airflow."""
    days = (path_of(source, _date(day)) for day in (1, 2, 3) for source in ("flights", "weather"))
    with tempfile.TemporaryDirectory() as year:
        sample.land(settings.load({"LANDING_URL": year}))
        for path in (*days, "planes/planes_2013-01-01.csv"):
            target = Path(given.landing_url) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(year, path), target)
    quick = replace(given, settle_seconds=0)
    with warehouse.ready(quick) as connection:
        run(quick, connection)
    parse(quick, write=True)
    seconds: dict[str, list[float]] = {"dbt build": [_plain(quick) for _ in range(3)]}
    memory: dict[str, float] = {}
    with _airflow(quick, stock=True) as client:
        for mode in ("watcher", "local"):
            name = f"Cosmos {mode.upper()}, as its docs show"
            seconds[name], memory[name] = _rounds(client, quick, f"stock_{mode}")
    with _airflow(quick, stock=False) as client:
        seconds["ours"], memory["ours"] = _rounds(client, quick, "warehouse")
    lines = [f"| {name} | {most:,.0f} MiB |" for name, most in memory.items()]
    write(
        "airflow",
        "Airflow: the build group in four ways",
        "All seeds, models and tests on three days of flights, dbt with 4 threads: from the start"
        " of the group's first task to the end of its last. LocalExecutor, 4 slots; a first round"
        " that is not counted. Ours is the whole project's full rebuild in a run of the ledger."
        "\n\n"
        + table(seconds, "dbt build")
        + "\n\nMost memory that one task's process held (unshared):\n\n| | |\n|---|---|\n"
        + "\n".join(lines),
    )


def _date(day: int) -> date:
    return date(2013, 1, day)


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.5)


def _plain(given: Settings) -> float:
    variables = environment_with(_dbt(given))
    command = [str(Path(sys.executable).with_name("dbt")), "build", "--quiet", "--target-path"]
    started = time.perf_counter()
    subprocess.run(
        [*command, str(given.var / "plain")], cwd=PROJECT, env=variables, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - started


def _dbt(given: Settings) -> dict[str, str]:
    return environment(given, None) | {"DBT_TARGET": "ci", "CI_BUILD": "1"}


@contextmanager
def _airflow(given: Settings, *, stock: bool) -> Iterator[api.Client]:
    """Airflow as this project starts it, or with nothing but the stock DAGs."""
    folder = given.var / "stock"
    folder.mkdir(exist_ok=True)
    text = _STOCK.format(project=str(PROJECT), manifest=str(manifest_path(given)))
    (folder / "stock.py").write_text(text)

    def variables(settings: Settings, here: home.Home) -> dict[str, str]:
        ours = home.environment(settings, here)
        where = {"VAR_DIR": str(given.var), "LANDING_URL": given.landing_url}
        if not stock:
            return ours | where | {"SETTLE_SECONDS": "0"}
        ours["AIRFLOW__CORE__DAGS_FOLDER"] = str(folder)
        del ours["PYTHONPATH"]
        return ours | where | _dbt(given)

    with patch.object(components, "environment", variables):
        here = components.start(given)
        try:
            yield api.Client(here.address, here.password)
        finally:
            processes.stop(here)


def _rounds(client: api.Client, given: Settings, dag: str) -> tuple[list[float], float]:
    """Seconds of the group in each counted round, and the most memory of a task's process."""
    _until(lambda: any(d["dag_id"] == dag for d in client.get("dags")["dags"]))
    taken, most = [], 0.0
    for _ in range(_ROUNDS[dag] + 1):
        if dag == "warehouse":
            with database.connect(given, name="bench") as connection:
                connection.execute(
                    "update ops.publications set code_version = '';"
                    "update ops.runs set state = 'superseded' where state = 'published'"
                )
        started = client.call("POST", f"dags/{dag}/dagRuns", {"logical_date": None})
        path = f"dags/{dag}/dagRuns/{started['dag_run_id']}"
        while (state := client.get(path)["state"]) not in ("success", "failed"):
            most = max(most, _heaviest(given))
            time.sleep(0.3)
        tasks = client.get(f"{path}/taskInstances?limit=500")["task_instances"]
        failed = [t["task_id"] for t in tasks if t["state"] == "failed"]
        assert state == "success", (dag, failed)
        group = [t for t in tasks if t["task_id"].startswith("build.") and t["start_date"]]
        first, last = min(t["start_date"] for t in group), max(t["end_date"] for t in group)
        taken.append(_instant(last) - _instant(first))
    return taken[1:], most


def _heaviest(given: Settings) -> float:
    """MiB that the largest process below the scheduler holds for itself alone."""
    scheduler = processes.recorded(home.of(given)).get("scheduler")
    found = [0.0]
    for process in scheduler.children(recursive=True) if scheduler else []:
        try:
            found.append(process.memory_full_info().uss / 2**20)
        except psutil.Error:
            continue
    return max(found)
