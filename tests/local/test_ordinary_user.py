"""The embedded PostgreSQL of somebody who is not root, and whom nobody helps."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestration.daemons.processes import is_alive
from orchestration.settings import PROJECT
from tests.support import keeper
from tests.support.patience import until


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder below one that every user may enter; a server that has its data there is ended."""
    folder = Path(tempfile.mkdtemp(prefix="airworthy-user-", dir="/var/tmp"))
    keeper.remove_at_the_end(folder)
    yield folder
    if (server := _server(folder)) is not None:
        server.send_signal(signal.SIGQUIT)
        until(lambda: not is_alive(server))
    shutil.rmtree(folder)


def test_an_ordinary_user_runs_it_without_help(home: Path) -> None:
    python, variables, who = _as_nobody(home) if os.geteuid() == 0 else (sys.executable, {}, {})
    done = subprocess.run(
        [python, "-W", "ignore", "-m", "orchestration", "quarantine"], cwd=home, **who,
        env={"PYTHONPATH": str(PROJECT), "VAR_DIR": str(home / "var"), "PATH": os.defpath}
        | variables,
        capture_output=True, text=True,
    )  # fmt: skip
    # It was asked, so it was started and has a ledger.
    assert "nothing is held back" in done.stdout, done.stderr
    server = _server(home)
    assert server is not None
    assert server.uids().real == who.get("user", os.geteuid()) != 0


def _server(home: Path) -> psutil.Process | None:
    """The first process of the server below `home`, if it runs."""
    with contextlib.suppress(OSError, psutil.NoSuchProcess):
        pid = int((home / "var/warehouse/data/postmaster.pid").read_text().split()[0])
        return psutil.Process(pid)
    return None


def _as_nobody(home: Path) -> tuple[str, dict[str, str], dict[str, Any]]:
    """What root's Python runs on, in folders that the user nobody may enter."""
    account = pwd.getpwnam("nobody")
    shutil.chown(home, account.pw_uid, account.pw_gid)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix, "lib")
    _link(base / version, home / "lib" / version, without=("test", "site-packages"))
    for library in base.glob("libpython*.so*"):
        shutil.copy(library, home / "lib")
    python = shutil.copy(os.path.realpath(sys.executable), home / "python")
    packages = _entered(Path(sysconfig.get_path("purelib")), home / "packages")
    code = _entered(PROJECT / "orchestration", home / "code/orchestration")
    variables = {
        "PYTHONHOME": str(home), "PYTHONPATH": f"{code.parent}:{packages}", "HOME": str(home),
        "LD_LIBRARY_PATH": str(home / "lib"),
    }  # fmt: skip
    who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return str(python), variables, who


def _entered(folder: Path, copy: Path) -> Path:
    """The folder itself where everybody may enter it, else a copy."""
    if all(each.stat().st_mode & 0o001 for each in (folder, *folder.parents)):
        return folder
    return _link(folder, copy)


def _link(folder: Path, copy: Path, without: tuple[str, ...] = ()) -> Path:
    """A copy; of the same files where that can be, which costs less."""

    def link(source: str, target: str) -> None:
        try:
            os.link(source, target)
        except OSError:  # another file system
            shutil.copy2(source, target)

    ignore = shutil.ignore_patterns(*without)
    shutil.copytree(folder, copy, symlinks=True, ignore=ignore, copy_function=link)
    return copy
