"""Airflow itself, its scheduler and all, on a checkout of its own: the picture tells the truth."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestration import settings
from orchestration.airflow_server import api, home
from orchestration.daemons import processes
from tests.flights import relative_path, whole_year
from tests.needs import REDIS
from tests.steps import copy_project

_PATIENCE_SECONDS = 180
_OVER = ("success", "failed")
_PRODUCER = "build.dbt_producer_watcher"
DAY = date(2013, 1, 1)


class Place:
    """A checkout with Airflow running, one landed day at the start.

    Attributes:
        client: the session with Airflow's API server.
    """

    client: api.Client

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder, self.project = folder, copy_project(folder / "project")
        self.landing = folder / "landing"
        self.environment = {
            **os.environ, "VAR_DIR": str(folder / "var"), "LANDING_URL": str(self.landing),
            "SETTLE_SECONDS": "0", **variables,
        }  # fmt: skip
        (self.landing / "planes").mkdir(parents=True)
        planes = "planes/planes_2013-01-01.csv"
        shutil.copy(whole_year() / planes, self.landing / planes)
        self.land(1)

    def land(self, day: int) -> None:
        for source in ("flights", "weather"):
            path = relative_path(source, DAY.replace(day=day))
            (self.landing / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(whole_year() / path, self.landing / path)

    def verb(self, *arguments: str, **variables: str) -> str:
        done = self.call(*arguments, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def call(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "orchestration", *arguments],
            cwd=self.project, env=self.environment | variables, capture_output=True, text=True,
        )  # fmt: skip

    def start(self) -> None:
        self.verb("airflow")
        here = home.of(settings.load(self.environment))
        self.client = api.Client(here.address, here.password)

    def digest_by_shell(self) -> str:
        """What a run in a shell makes of all that landed, in a warehouse of its own."""
        shell = str(self.folder / "shell")
        self.verb("run", VAR_DIR=shell)
        digest = self.verb("digest", VAR_DIR=shell)
        self.verb("clean-data", VAR_DIR=shell)
        return digest

    def edit(self, path: str, old: str, new: str) -> None:
        text = (self.project / path).read_text()
        assert old in text
        (self.project / path).write_text(text.replace(old, new))

    def trigger(self) -> str:
        """Start the DAG `warehouse`; the run's id."""
        run = self.client.call("POST", "dags/warehouse/dagRuns", {"logical_date": None})
        return str(run["dag_run_id"])

    def ends(self, run: str) -> str:
        """The state that the DAG run ends in."""
        return str(self.until(lambda: self._over(run)))

    def tasks(self, run: str) -> dict[str, dict[str, Any]]:
        found = self.client.get(f"dags/warehouse/dagRuns/{run}/taskInstances?limit=200")
        return {task["task_id"]: task for task in found["task_instances"]}

    def published(self, count: int) -> None:
        """Wait until so many DAG runs published."""
        self.until(lambda: self._count() >= count)

    def publications(self) -> str:
        return self.verb("psql", "--sql", "select count(*) from ops.publications").split()[2]

    def clear(self, run: str, *tasks: str) -> None:
        wanted = {"task_ids": list(tasks)} if tasks else {}
        self.client.call(
            "POST", "dags/warehouse/clearTaskInstances",
            {"dry_run": False, "dag_run_id": run, "only_failed": False, "reset_dag_runs": True}
            | wanted,
        )  # fmt: skip

    def until(self, condition: Any) -> Any:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not (found := condition()):
            assert time.monotonic() < deadline, "not in time"
            time.sleep(0.3)
        return found

    def _over(self, run: str) -> str | None:
        state = self.client.get(f"dags/warehouse/dagRuns/{run}")["state"]
        return state if state in _OVER else None

    def _count(self) -> int:
        runs = self.client.get("dags/warehouse/dagRuns")["dag_runs"]
        ended = [run["dag_run_id"] for run in runs if run["state"] == "success"]
        return sum(self.tasks(run)["publish"]["state"] == "success" for run in ended)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("airflow"))
    try:
        made.start()
        yield made
    finally:
        made.verb("airflow-down")
        made.verb("clean-data")


def test_what_lands_is_published_as_the_shell_publishes_it(place: Place) -> None:
    place.published(1)
    place.land(2)  # while it runs: the watcher on the landing place notices
    place.published(2)
    assert place.client.get("importErrors")["import_errors"] == []
    assert place.verb("digest") == place.digest_by_shell()
    assert "Readers see publication 2 " in (place.folder / "var/reports/index.html").read_text()


def test_a_run_with_nothing_new_is_skipped(place: Place) -> None:
    run = place.trigger()
    assert place.ends(run) == "success"
    states = {name: task["state"] for name, task in place.tasks(run).items()}
    assert states.pop("plan") == "success"
    assert set(states.values()) == {"skipped"}


def test_a_failed_test_and_a_failed_model_are_red_and_publish_nothing(place: Place) -> None:
    before = place.publications()
    new_test = place.project / "tests/data_tests/singular/assert_nothing_flies.sql"
    new_test.write_text("select * from {{ ref('fct_flights') }}")
    run = place.trigger()
    assert place.ends(run) == "failed"
    assert place.tasks(run)["publish"]["state"] == "upstream_failed"
    new_test.unlink()

    model = "models/marts/flights/dim_airlines.sql"
    place.edit(model, "select", "select 1 / 0 as nothing,")
    run = place.trigger()
    assert place.ends(run) == "failed"
    tasks = place.tasks(run)
    assert tasks["build.models.marts.flights.dim_airlines.run"]["state"] == "failed"
    assert tasks["publish"]["state"] == "upstream_failed"
    assert tasks[_PRODUCER]["try_number"] == 1, "it cannot heal by itself"
    place.edit(model, "select 1 / 0 as nothing,", "select")
    assert place.publications() == before


@pytest.mark.parametrize(("day", "is_worker"), [(3, False), (4, True)], ids=["task", "worker"])
def test_a_killed_producer_is_tried_again_and_publishes_once(
    place: Place, day: int, is_worker: bool
) -> None:
    before = place.publications()
    place.land(day)
    run, process = place.until(lambda: _producer(place))
    # The worker of the executor is the parent of the task's supervisor.
    (process.parent() if is_worker else process).kill()
    assert place.ends(run) == "success"
    assert place.tasks(run)[_PRODUCER]["try_number"] == 2
    assert place.publications() != before


def _producer(place: Place) -> tuple[str, psutil.Process] | None:
    """The DAG run that builds now, and the process of its producer."""
    for run in place.client.get("dags/warehouse/dagRuns?state=running")["dag_runs"]:
        task = place.tasks(run["dag_run_id"]).get(_PRODUCER, {})
        if task.get("state") == "running" and task.get("pid"):
            return run["dag_run_id"], psutil.Process(task["pid"])
    return None


def test_a_published_run_that_is_cleared_twice_publishes_no_second_time(place: Place) -> None:
    runs = place.client.get("dags/warehouse/dagRuns?order_by=-start_date")["dag_runs"]
    run = next(r["dag_run_id"] for r in runs if r["state"] == "success")
    before, digest = place.publications(), place.verb("digest")
    for tasks in ((), ("gate", "publish")):
        place.clear(run, *tasks)
        assert place.ends(run) == "success"
    assert (place.publications(), place.verb("digest")) == (before, digest)


def test_of_a_run_in_a_shell_at_the_same_time_one_publishes(place: Place) -> None:
    place.published(1)
    before = int(place.publications())
    place.land(5)
    run, _ = place.until(lambda: _producer(place))
    # Whoever locks first goes on; the shell is sent away, or Airflow's run is superseded.
    ended = {75: "success", 0: "failed"}[place.call("run").returncode]
    assert place.ends(run) == ended
    assert place.ends(place.trigger()) == "success", "whatever was queued has ended as well"
    assert "nothing was delivered or changed" in place.verb("run")
    assert int(place.publications()) == before + 1
    assert place.verb("digest") == place.digest_by_shell()


class Collector(ThreadingHTTPServer):
    """Takes lineage events, as a catalogue would."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Collect)
        self.jobs: set[str] = set()


class _Collect(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.jobs.add(f"{event['job']['namespace']} {event['job']['name']}")
        self.send_response(201)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_dbt_per_model_does_the_same_and_lineage_goes_to_an_address(place: Place) -> None:
    place.published(1)
    before = int(place.publications())
    place.verb("airflow-down")
    with Collector() as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        place.environment |= {
            "COSMOS_MODE": "local", "OPENLINEAGE_URL": f"http://127.0.0.1:{collector.server_port}",
        }  # fmt: skip
        place.start()
        model = "models/marts/flights/agg_airlines_daily.sql"
        place.edit(model, "select * from aggregated", "select 1 / 0 as nothing, * from aggregated")
        run = place.trigger()
        assert place.ends(run) == "failed"
        failed = {name for name, t in place.tasks(run).items() if t["state"] == "failed"}
        assert "build.models.marts.flights.agg_airlines_daily.run" in failed
        assert int(place.publications()) == before
        place.edit(model, "select 1 / 0 as nothing, *", "select aggregated.*")
        assert place.ends(place.trigger()) == "success"
        assert int(place.publications()) == before + 1
        place.verb("airflow-down")
        collector.shutdown()
    assert "airworthy warehouse.publish" in collector.jobs


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a throw-away Redis."""
    program = REDIS.find()
    assert program, "set-up should have installed it"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(program), "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    folder = tmp_path_factory.mktemp("redis")
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as process:
        yield f"redis://127.0.0.1:{port}/0"
        process.terminate()


@pytest.mark.needs("redis")
def test_celery_workers_do_the_same_and_one_of_two_may_die(redis: str, tmp_path: Path) -> None:
    place = Place(tmp_path, CELERY_BROKER_URL=redis, CELERY_WORKERS="2")
    try:
        place.start()
        place.published(1)
        workers = processes.recorded(home.of(settings.load(place.environment)))
        for process in (*workers["worker-1"].children(recursive=True), workers["worker-1"]):
            process.kill()
        place.land(2)
        place.published(2)
        assert place.verb("digest") == place.digest_by_shell()
    finally:
        place.verb("airflow-down")
        place.verb("clean-data")
