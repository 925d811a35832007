"""The same deliveries give the same marts from a shell and from Airflow, by its real scheduler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration import settings
from orchestration.airflow_server import api, home
from orchestration.settings import PROJECT

_PATIENCE_SECONDS = 180
DAYS = ("2013-01-01", "2013-01-02")


def verb(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "orchestration", *arguments],
        cwd=PROJECT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def land(landing: Path, day: str) -> None:
    for source in ("flights", "weather"):
        name = f"{source}_{day}.csv.gz"
        target = landing / source / day[:4] / day[5:7] / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / "landing" / target.relative_to(landing), target)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a checkout of its own, with one landed day; its servers end with it."""
    landing = tmp_path / "landing"
    planes = landing / "planes/planes_2013-01-01.csv"
    planes.parent.mkdir(parents=True)
    shutil.copy(PROJECT / "landing/planes/planes_2013-01-01.csv", planes)
    land(landing, DAYS[0])
    environment = {
        **os.environ, "VAR_DIR": str(tmp_path / "var"), "LANDING_URL": str(landing),
        "SETTLE_SECONDS": "0",
    }  # fmt: skip
    yield environment
    verb(environment, "airflow-down")
    verb(environment, "clean-data")


def await_publications(environment: dict[str, str], client: api.Client, count: int) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        runs = client.get("dags/warehouse/dagRuns")["dag_runs"]
        assert all(run["state"] != "failed" for run in runs)
        if sum(run["state"] == "success" for run in runs) >= count:
            return
        time.sleep(0.5)
    pytest.fail("no publication in time")


def test_airflow_publishes_what_the_shell_publishes(place: dict[str, str], tmp_path: Path) -> None:
    verb(place, "airflow")
    here = home.of(settings.load(place))
    client = api.Client(here.address, here.password)
    await_publications(place, client, 1)
    land(Path(place["LANDING_URL"]), DAYS[1])
    await_publications(place, client, 2)
    assert client.get("importErrors")["import_errors"] == []
    by_airflow = verb(place, "digest")

    shell = {**place, "VAR_DIR": str(tmp_path / "shell")}
    verb(shell, "run")
    by_shell = verb(shell, "digest")
    verb(shell, "clean-data")
    assert by_airflow == by_shell
