"""What the whole run has once, whichever of its workers comes first to need it.

It lives until the run ends: the keeper ends processes and removes folders.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import keeper


def folder() -> Path:
    """The run's own folder; short, as sockets need it."""
    return Path(os.environ[keeper.RUN])


def once(name: str, make: Callable[[Path], object]) -> Path:
    """The folder called `name`, which `make` has filled; others wait meanwhile."""
    made = folder() / name
    done = folder() / f"{name}.done"
    with (folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            make(made)
            done.touch()
    return made


@contextmanager
def unlocked(name: str) -> Iterator[bool]:
    """Undo `once`: whether it was done; whoever needs it next makes it again."""
    done = folder() / f"{name}.done"
    with (folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield done.exists()
        done.unlink(missing_ok=True)


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def forget(program: subprocess.Popen[bytes]) -> None:
    """Leave a process to the keeper: Python shall not complain that it still runs."""
    program.returncode = 0
