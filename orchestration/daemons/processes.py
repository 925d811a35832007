"""Processes that outlive the command that started them: start them once, stop them, find them.

Writes `processes.json` (name, process id and start time of each) and a log for each. Killed
between two starts: the next start finds the recorded ones, and the record is written before
anything is waited for.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

import psutil

from orchestration.daemons.place import Place
from orchestration.settings import PROJECT

_STOP_SECONDS = 20


def launch(place: Place, variables: dict[str, str], commands: Mapping[str, Sequence[str]]) -> None:
    """Start those of `commands` (name: arguments of Python's) that do not run, in their order."""
    running = recorded(place)
    for name, arguments in commands.items():
        if name not in running:
            running[name] = _start(place, variables, name, arguments)
            _record(place, running)


def stop(place: Place, names: Sequence[str] | None = None) -> list[str]:
    """End what `launch` started, or those called `names`; the names of what was running."""
    known = recorded(place)
    running = {name: p for name, p in known.items() if names is None or name in names}
    processes = list(reversed(running.values()))
    children = [child for process in processes for child in _children(process)]
    for process in processes:
        process.terminate()
    for process in _left_after(_STOP_SECONDS, [*processes, *children]):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _record(place, {name: p for name, p in known.items() if name not in running})
    return list(running)


def recorded(place: Place) -> dict[str, psutil.Process]:
    """The processes that live and are ours: number and start time are the recorded ones."""
    try:
        known = json.loads(place.processes.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    alive = {}
    for name, (pid, started) in known.items():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if process.create_time() == started and is_alive(process):
                alive[name] = process
    return alive


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; one that has ended and is not reaped, as in containers, does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _left_after(seconds: float, processes: list[psutil.Process]) -> list[psutil.Process]:
    until = time.monotonic() + seconds
    while (left := [each for each in processes if is_alive(each)]) and time.monotonic() < until:
        time.sleep(0.1)
    return left


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _start(
    place: Place, variables: dict[str, str], name: str, arguments: Sequence[str]
) -> psutil.Process:
    with (place.logs / f"{name}.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=variables, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    return psutil.Process(process.pid)


def _record(place: Place, running: dict[str, psutil.Process]) -> None:
    known = {name: (p.pid, p.create_time()) for name, p in running.items()}
    fresh = place.processes.with_suffix(".new")
    fresh.write_text(json.dumps(known))
    fresh.replace(place.processes)
