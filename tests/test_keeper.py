"""However a test run ends, nothing that it started goes on: see `tests/support/keeper.py`."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from orchestration.daemons.processes import is_alive
from tests.support import keeper
from tests.support.patience import until

_FILE = Path(__file__).with_name("support") / "in_the_middle.py"


class Run:
    """A run of tests within this one, with a terminal of its own."""

    def __init__(self, folder: Path, then: str) -> None:
        started = folder / "started"
        given = {"STARTED": str(started), "THEN": then}
        self.terminal, theirs = pty.openpty()
        self.first = subprocess.Popen(
            [sys.executable, "-m", "pytest", str(_FILE), "-n", "1", "-p", "no:cacheprovider"],
            cwd=_FILE.parents[2], env=keeper.outside() | given, stdin=theirs, stdout=theirs,
            stderr=theirs, start_new_session=True, preexec_fn=_take_the_terminal,
        )  # fmt: skip
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            until(started.exists, 90, otherwise=lambda: self.said.decode())
        except AssertionError:
            self.end()
            raise
        first = psutil.Process(self.first.pid)
        (self.keeper,) = first.children()
        (self.run,) = self.keeper.children()[:1]
        self.below = tuple(first.children(recursive=True))

    below: tuple[psutil.Process, ...] = ()
    said = b""
    _is_read = True

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while self._is_read:
                if select.select([self.terminal], [], [], 0.1)[0]:
                    self.said += os.read(self.terminal, 10_000)

    def names(self) -> set[str]:
        return {process.name() for process in self.below}

    def close_terminal(self) -> None:
        if self._is_read:
            self._is_read = False
            self._reader.join()
            os.close(self.terminal)

    def end(self) -> None:
        for process in self.below:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.first.kill()
        self.first.wait()
        self.close_terminal()


def _take_the_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def started(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Run]:
    run = Run(tmp_path, getattr(request, "param", "waits"))
    yield run
    run.end()


def alive(run: Run) -> list[psutil.Process]:
    return [process for process in run.below if is_alive(process)]


_ENDS: dict[str, Callable[[Run], object]] = {
    "interrupted": lambda run: os.write(run.terminal, b"\x03"),  # Ctrl-C
    "terminated": lambda run: run.first.send_signal(signal.SIGTERM),
    "killed": lambda run: run.first.kill(),
    "its run killed": lambda run: run.run.kill(),
    "its keeper killed": lambda run: run.keeper.kill(),
    "its terminal closed": lambda run: run.close_terminal(),
}


@pytest.mark.parametrize("end", list(_ENDS))
def test_a_run_that_ends_in_the_middle_leaves_no_process(started: Run, end: str) -> None:
    assert {"postgres", "sleep"} <= started.names()
    assert len(started.below) > 7
    _ENDS[end](started)
    until(lambda: alive(started) == [], 20, otherwise=lambda: alive(started))
    assert started.first.wait() != 0


@pytest.mark.parametrize(
    ("started", "code"), [("is green", 0), ("is red", 1)], indirect=["started"]
)
def test_a_run_that_ends_leaves_no_process_and_says_how_it_ended(started: Run, code: int) -> None:
    assert started.first.wait() == code
    until(lambda: alive(started) == [], 20, otherwise=lambda: alive(started))
