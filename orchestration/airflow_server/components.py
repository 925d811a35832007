"""Airflow's processes: start them and wait until all are healthy.

Writes what `daemons.processes` does. Killed: the next start finds what runs.
"""

from __future__ import annotations

import time

from orchestration.airflow_server import api, metadata
from orchestration.airflow_server.home import Home, environment, of
from orchestration.daemons import processes
from orchestration.errors import AirworthyError
from orchestration.settings import Settings

# The scheduler comes last: it forks the processes that run tasks, which need the others.
_COMPONENTS = {
    "api-server": [],
    "dag-processor": [],
    "triggerer": ["--skip-serve-logs"],
    "scheduler": ["--skip-serve-logs"],
}
_WORKER = ["-m", "airflow", "celery", "worker", "--skip-serve-logs", "--concurrency", "2"]
# How many tasks at once load deliveries, build, gate or publish, and backfill.
_POOLS = {"ingest": 2, "warehouse": 1, "backfill": 1, "watch": 1}
_PATIENCE_SECONDS = 120


def start(settings: Settings) -> Home:
    """Have Airflow running and healthy.

    Raises:
        AirworthyError: a component ended or did not become healthy in time.
    """
    home = of(settings)
    variables = environment(settings, home)
    metadata.prepare(settings, home, variables)
    commands = _commands(settings)
    processes.launch(home, variables, commands)
    client = api.Client(home.address, home.password)
    _wait(home, client, list(commands))
    for pool, slots in _POOLS.items():
        client.have_pool(pool, slots)
    return home


def _commands(settings: Settings) -> dict[str, list[str]]:
    """What to start, by name; with a Celery broker, workers as well."""
    commands = {name: ["-m", "airflow", name, *options] for name, options in _COMPONENTS.items()}
    if settings.celery_broker_url:
        for n in range(1, settings.celery_workers + 1):
            commands[f"worker-{n}"] = [*_WORKER, "--celery-hostname", f"worker-{n}@%h"]
    return commands


def _wait(home: Home, client: api.Client, names: list[str]) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    waiting = names
    while time.monotonic() < until:
        ended = [name for name in names if name not in processes.recorded(home)]
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
