"""A copy of the project with servers and a landing place of its own, for tests that change code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestration import database, settings
from orchestration.airflow_server import api as airflow_api
from orchestration.airflow_server import home as airflow_home
from orchestration.daemons import processes
from orchestration.prefect_server import api, home
from orchestration.settings import PROJECT
from tests.flights import relative_path, whole_year

Run = dict[str, Any]

# What both orchestrators run, in this order.
STEPS = {
    "warehouse": ["plan", "build", "gate", "publish"],
    "ingest": ["find", "take_in", "announce", "reject"],
    "backfill": ["plan", "chunk", "finish"],
    "watch": ["watch", "retry"],
}
_PATIENCE_SECONDS = 180
_NOT_NEEDED = ("tests/unit", "tests/integration", "requirements", "docs")


@dataclass
class Checkout:
    """A copy of the project with servers and a landing place of its own."""

    folder: Path
    environment: dict[str, str]

    @classmethod
    def at(cls, folder: Path) -> Checkout:
        """A new copy; its clocks start nothing, only what lands and what a test asks for."""
        listed = subprocess.run(
            ["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for name in listed:
            if not name.startswith(_NOT_NEEDED):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT / name, folder / name)
        ours = {
            "VAR_DIR": "",
            "LANDING_URL": "",
            "SETTLE_SECONDS": "0",
            "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
        }
        planes = folder / "landing/planes/planes_2013-01-01.csv"
        planes.parent.mkdir(parents=True)
        shutil.copy2(whole_year() / "planes/planes_2013-01-01.csv", planes)
        return cls(folder, dict(os.environ) | ours)

    @property
    def airflow(self) -> airflow_api.Client:
        return airflow_api.Client(self.airflow_home.address, self.airflow_home.password)

    @property
    def airflow_home(self) -> airflow_home.Home:
        return airflow_home.of(self._settings)

    @property
    def client(self) -> api.Client:
        return api.Client(self.prefect_home.api, self.prefect_home.login)

    @property
    def _settings(self) -> settings.Settings:
        return settings.load(self.environment, self.folder)

    @property
    def prefect_home(self) -> home.Home:
        return home.of(self._settings)

    def verb(self, *arguments: str, **variables: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "orchestration", *arguments], cwd=self.folder,
            env=self.environment | variables, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def land(self, day: str) -> None:
        for source in ("flights", "weather"):
            path = relative_path(source, date.fromisoformat(day))
            target = self.folder / "landing" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(whole_year() / path, target)

    def connected(self) -> database.Connection:
        return database.connect(self._settings)

    def ask(self, statement: str) -> str:
        """The first column of what a statement gives, a line each."""
        with self.connected() as connection:
            return "\n".join(str(row[0]) for row in connection.execute(statement))

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Hold a table, so that whoever writes it waits."""
        with self.connected() as connection, connection.transaction():
            connection.execute(f"lock table {table} in share mode")
            yield

    def change(self, path: str, old: str, new: str) -> Callable[[], object]:
        """Change a file of the project; call what is returned to have it as before."""
        file = self.folder / path
        before = file.read_text()
        assert old in before
        head, _, tail = before.rpartition(old)
        file.write_text(head + new + tail)
        return lambda: file.write_text(before)

    def start(self, flow: str = "warehouse", **given: Any) -> str:
        return self.client.start(f"{flow}/local", given=given)

    def end(self, run_id: str) -> Run:
        """The state that a run ends in."""
        found: Run = {}
        for _ in self.patiently():
            found = self.client.state(run_id)
            if found["type"] in api.ENDED:
                return found
        pytest.fail(f"still {found}")

    def patiently(self) -> Iterator[None]:
        until = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < until:
            yield
            time.sleep(0.2)

    def runs(self, flow: str) -> list[Run]:
        """All runs of a flow, in the order of their start."""
        body = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_ASC"}
        found: list[Run] = self.client.call("POST", "flow_runs/filter", body)
        return found

    def tasks(self, run_id: str) -> list[Run]:
        body = {"flow_runs": {"id": {"any_": [run_id]}}, "limit": 200}
        found: list[Run] = self.client.call("POST", "task_runs/filter", body)
        return sorted(found, key=lambda task: task["start_time"] or "")

    def task(self, run_id: str, name: str) -> Run:
        return next(t for t in self.tasks(run_id) if t["name"].startswith(name))

    def await_dbt(self, run_id: str) -> psutil.Process:
        """The process of step build, once it sleeps in the slow model."""
        for _ in self.patiently():
            if any("agg_airlines_daily" in t["name"] for t in self.tasks(run_id)):
                (process,) = self.step_processes()
                return process
        pytest.fail("dbt did not come to the slow model")

    def step_processes(self) -> list[psutil.Process]:
        steps = processes.recorded(self.prefect_home)["steps"]
        return [p for p in steps.children() if p.status() != psutil.STATUS_ZOMBIE]

    def flow_process(self) -> psutil.Process:
        flows = processes.recorded(self.prefect_home)["flows"]
        (process,) = flows.children()
        return process
