"""Airflow with Celery workers over Redis; a suite of its own: `make test-runners`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from orchestration.airflow_server import home
from orchestration.daemons import processes
from orchestration.warehouse_server import embedded
from tests.support import shared, states
from tests.support.checkout import Checkout
from tests.support.files import DAY
from tests.support.needs import REDIS
from tests.support.patience import until

pytestmark = [pytest.mark.runners, pytest.mark.needs("redis")]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """The URL of a throw-away Redis."""
    program = REDIS.find()
    assert program, "set-up should have installed it"
    port = shared.free_port()
    command = [str(program), "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        yield f"redis://127.0.0.1:{port}/0"
        process.terminate()


@pytest.fixture
def served(redis: str, tmp_path: Path) -> Iterator[Checkout]:
    """A checkout with Airflow and two workers, in which nothing has landed."""
    made = states.with_server(tmp_path / "served")
    made.variables |= {"CELERY_BROKER_URL": redis, "CELERY_WORKERS": "2"}
    made.list_stations()
    try:
        made.call("airflow")
        yield made
    finally:
        made.call("airflow-down")
        embedded.remove(embedded.locate(made.settings))


def test_celery_workers_do_the_same_and_one_of_two_may_die(
    served: Checkout, tmp_path: Path
) -> None:
    made = served
    made.land(DAY)
    until(lambda: made.publications == 1, 180, every=0.3)
    workers = processes.recorded(home.of(made.settings))
    for process in (*workers["worker-1"].children(recursive=True), workers["worker-1"]):
        process.kill()
    made.land(DAY + timedelta(1))
    until(lambda: made.publications == 2, 180, every=0.3)
    alone = states.copy("empty", tmp_path / "alone")
    alone.list_stations()
    alone.land(DAY, DAY + timedelta(1))
    alone.call("run")
    assert made.call("digest") == alone.call("digest")
    states.drop(alone)
