"""Prefect's processes on this machine: start them and wait until they answer.

`server` is Prefect's own: API, page, schedules, automations. `steps` holds what each step needs
loaded. `flows` serves the deployments and watches the landing place. Writes what
`daemons.processes` does, and `var/prometheus/prefect.json`. Killed: the next start finds what runs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchestration import apart
from orchestration.daemons import processes
from orchestration.errors import AirworthyError
from orchestration.prefect_server import api, metadata
from orchestration.prefect_server.home import Home, environment, of
from orchestration.settings import Settings
from orchestration.warehouse_server import embedded

_NAMES = ("steps", "server", "flows")
# A small machine whose cores are busy needs minutes to load it for the first time.
_PATIENCE_SECONDS = 300


def start(settings: Settings) -> Home:
    """Have Prefect running and its deployments served.

    Raises:
        AirworthyError: a process ended or did not answer in time.
    """
    home = of(settings)
    _have(settings, home, ["steps", "server"])
    _have(settings, home, ["flows"])
    _announce(settings, home)
    return home


def _announce(settings: Settings, home: Home) -> None:
    """Tell Prometheus where to scrape the server: its port is chosen at the first start."""
    path = settings.var / "prometheus/prefect.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([{"targets": [f"{embedded.HOST}:{home.port}"]}]), encoding="utf-8")


@contextmanager
def borrowed(settings: Settings) -> Iterator[dict[str, str]]:
    """A server for one run, as environment: the running one, else one that ends with the block."""
    home = of(settings)
    before = processes.recorded(home)
    try:
        _have(settings, home, ["steps", "server"])
        yield environment(settings, home)
    finally:
        processes.stop(home, [name for name in _NAMES if name not in before])


def _have(settings: Settings, home: Home, names: list[str]) -> None:
    metadata.prepare(settings, home)
    variables = environment(settings, home)
    commands = {
        "steps": ["-m", "orchestration.apart", str(apart.address(settings))],
        "server": ["-m", "orchestration.prefect_server.program", "serve"],
        "flows": ["-m", "orchestration.flows"],
    }
    processes.launch(home, variables, {name: commands[name] for name in names})
    client = api.Client(home.api, home.login)
    checks: dict[str, Callable[[], bool]] = {
        "server": client.is_healthy,
        "flows": client.is_served,
    }
    for name in names:
        _wait(home, name, checks.get(name, lambda: True))


def _wait(home: Home, name: str, check: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        if name not in processes.recorded(home):
            raise _broken(home, f"`{name}` ended at once", name)
        if check():
            return
        time.sleep(0.2)
    raise _broken(home, f"`{name}` did not answer in {_PATIENCE_SECONDS} seconds", name)


def _broken(home: Home, what: str, name: str) -> AirworthyError:
    return AirworthyError(
        f"Prefect does not start: {what}.",
        kept="The warehouse is untouched; `make prefect-down` stops what runs.",
        todo=f"The reason stands at the end of {home.logs}/{name}.log.",
    )
