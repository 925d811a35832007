"""Ends everything that a test run started, however the run ends.

    pytest, as somebody starts it -> keeper -> pytest, the run -> commands, servers, workers

The first pytest only waits (`main_pytest`): it starts a keeper in a session of its own, which
starts the run. Orphans become the keeper's children, so all that the run ever started is below it.
When the run ends, or whoever waits for it, the keeper ends all of that. Should somebody kill the
keeper itself, the orphans become children of the first pytest, which does the same.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from orchestration.daemons.processes import is_alive

RUN = "AIRWORTHY_TEST_RUN"  # the run's folder, for whoever is below a keeper
_COMMAND = "AIRWORTHY_TEST_COMMAND"
_LISTED = "to-remove"
_GRACE_SECONDS = 10  # after a signal; the last of them are for saying what was seen
_SUMMARY_SECONDS = 8
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # Linux's prctl


def is_kept() -> bool:
    """Whether this process is part of a run that has a keeper."""
    return RUN in os.environ


def main_pytest(arguments: list[str]) -> int:
    """Let a keeper run `arguments`, hand on signals, and wait; the run's exit code."""
    _adopt_orphans()
    folder = Path(tempfile.mkdtemp(prefix="airworthy-tests-"))
    ours, theirs = os.pipe()
    given = {RUN: str(folder), _COMMAND: json.dumps(arguments)}
    for number in _FORWARDED:
        signal.signal(number, lambda number, _: _hand_on(theirs, number))
    keeper = subprocess.Popen(
        [sys.executable, "-m", "tests.support.keeper", str(ours)], env=os.environ | given,
        pass_fds=[ours], start_new_session=True,
    )  # fmt: skip
    os.close(ours)
    code = keeper.wait()
    end_all(psutil.Process())
    if code < 0:
        return 128 - code
    return code


def _hand_on(pipe: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(pipe, bytes([number]))


def remove_at_the_end(folder: Path) -> None:
    """Delete a folder outside the run's own, once nothing runs any more."""
    with (Path(os.environ[RUN]) / _LISTED).open("a") as file:
        file.write(f"{folder}\n")


def end_all(process: psutil.Process, seconds: float = 5) -> None:
    """End all that is below `process`: PostgreSQL so that it leaves no shared memory behind."""
    deadline = time.monotonic() + seconds
    while below := _below(process):
        is_late = time.monotonic() > deadline
        for each in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                if is_late or each.name() != "postgres":
                    each.kill()
                elif (parent := each.parent()) is None or parent.name() != "postgres":
                    each.send_signal(signal.SIGQUIT)
        _reap()
        time.sleep(0.05)


def _below(process: psutil.Process) -> list[psutil.Process]:
    return [each for each in process.children(recursive=True) if is_alive(each)]


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _keep(waiting: int, arguments: list[str]) -> int:
    """Run the tests until they end or nobody waits for them; then end what they left."""
    _adopt_orphans()
    told: list[int] = []
    for number in _FORWARDED:
        signal.signal(number, lambda number, _: told.append(number))
    run = subprocess.Popen(arguments, preexec_fn=_end_with_the_keeper)
    end = os.pidfd_open(run.pid)
    until = None
    while run.poll() is None and (until is None or time.monotonic() < until):
        if until and time.monotonic() > until - _SUMMARY_SECONDS:
            for each in _below(psutil.Process(run.pid)):  # so that it need not wait for them
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
        ready, _, _ = select.select([waiting, end], [], [], 0.2)
        if waiting in ready:
            given = os.read(waiting, 1)
            if not given:
                break  # nobody waits any more
            told.append(given[0])
        while told:
            until = time.monotonic() + (_GRACE_SECONDS if until is None else 0)
            run.send_signal(told.pop())
    code = run.poll()
    end_all(psutil.Process())
    _remove(code == 0)
    return 128 + signal.SIGTERM if code is None else code if code >= 0 else 128 - code


def _remove(is_green: bool) -> None:
    folder = Path(os.environ[RUN])
    with contextlib.suppress(FileNotFoundError):
        for listed in (folder / _LISTED).read_text().splitlines():
            shutil.rmtree(listed, ignore_errors=True)
    if is_green:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):  # the terminal may be gone
            print(f"What the servers wrote stays in {folder}", flush=True)


def _adopt_orphans() -> None:
    _prctl(_SET_CHILD_SUBREAPER, 1)


def _end_with_the_keeper() -> None:
    for number in _FORWARDED:
        signal.signal(number, signal.SIG_DFL)
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def outside() -> dict[str, str]:
    """An environment for a run of tests that has a keeper of its own."""
    return {name: value for name, value in os.environ.items() if name != RUN}


if __name__ == "__main__":
    sys.exit(_keep(int(sys.argv[1]), json.loads(os.environ.pop(_COMMAND))))
