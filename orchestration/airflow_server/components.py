"""Airflow's four processes: start them, wait until all are healthy, stop them.

Writes `var/airflow/processes.json` (name, process id and start time of each) and a log for each.
They outlive the process that started them. Killed between two starts: the next start finds the
recorded ones, and the record is written before anything is waited for.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import psutil

from orchestration.airflow_server import api, metadata
from orchestration.airflow_server.home import Home, environment, of
from orchestration.errors import AirworthyError
from orchestration.settings import PROJECT, Settings

# The scheduler comes last: it forks the processes that run tasks, which need the others.
_COMPONENTS = {
    "api-server": [],
    "dag-processor": [],
    "triggerer": ["--skip-serve-logs"],
    "scheduler": ["--skip-serve-logs"],
}
# How many tasks at once load deliveries, and build, gate or publish.
_POOLS = {"ingest": 2, "warehouse": 1}
_PATIENCE_SECONDS = 120
_STOP_SECONDS = 20


def start(settings: Settings) -> Home:
    """Have Airflow running and healthy.

    Raises:
        AirworthyError: a component ended or did not become healthy in time.
    """
    home = of(settings)
    variables = environment(settings, home)
    metadata.prepare(settings, home, variables)
    running = recorded(home)
    for name, options in _COMPONENTS.items():
        if name not in running:
            running[name] = _launch(home, variables, name, options)
            _record(home, running)
    client = api.Client(home.address, home.password)
    _wait(home, client)
    for pool, slots in _POOLS.items():
        client.have_pool(pool, slots)
    return home


def stop(home: Home) -> list[str]:
    """End what `start` started, cleanly where possible; the names of what was running."""
    running = recorded(home)
    processes = list(reversed(running.values()))
    children = [child for process in processes for child in _children(process)]
    for process in processes:
        process.terminate()
    _, alive = psutil.wait_procs([*processes, *children], timeout=_STOP_SECONDS)
    for process in alive:
        process.kill()
    home.processes.unlink(missing_ok=True)
    return list(running)


def recorded(home: Home) -> dict[str, psutil.Process]:
    """The components that live and are ours: number and start time are the recorded ones."""
    try:
        known = json.loads(home.processes.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    alive = {}
    for name, (pid, started) in known.items():
        try:
            process = psutil.Process(pid)
            if process.create_time() == started and process.status() != psutil.STATUS_ZOMBIE:
                alive[name] = process
        except psutil.NoSuchProcess:
            continue
    return alive


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _launch(home: Home, variables: dict[str, str], name: str, options: list[str]) -> psutil.Process:
    with (home.logs / f"{name}.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow", name, *options],
            env=variables, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    return psutil.Process(process.pid)


def _record(home: Home, running: dict[str, psutil.Process]) -> None:
    known = {name: (p.pid, p.create_time()) for name, p in running.items()}
    fresh = home.processes.with_suffix(".new")
    fresh.write_text(json.dumps(known))
    fresh.replace(home.processes)


def _wait(home: Home, client: api.Client) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    waiting: list[str] = list(_COMPONENTS)
    while time.monotonic() < until:
        ended = [name for name in _COMPONENTS if name not in recorded(home)]
        if ended:
            raise _broken(home, f"{', '.join(ended)} ended at once", ended[0])
        waiting = client.unhealthy()
        if not waiting:
            return
        time.sleep(0.2)
    raise _broken(home, f"{', '.join(waiting)} did not become healthy", waiting[0])


def _broken(home: Home, what: str, name: str) -> AirworthyError:
    return AirworthyError(
        f"Airflow does not start: {what}.",
        kept="The warehouse is untouched; `make airflow-down` stops what runs.",
        todo=f"The reason stands at the end of {home.logs}/{name}.log.",
    )
