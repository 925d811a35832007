"""The embedded warehouse: a real PostgreSQL 18 from a wheel, owned by this checkout.

Writes its files under `var/warehouse`; as root, where PostgreSQL refuses to run, under
`/var/lib/airworthy/` and as the system user `airworthy`. The server outlives the process that
started it. Killed at any point: the next `start` finds what is there and goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote

import psutil

from orchestration.errors import AirworthyError, UsageError
from orchestration.settings import Settings
from orchestration.warehouse_server import configuration, server_user

HOST = "127.0.0.1"
NAME = "airworthy"  # of the database, its owner and, under root, the system user


@dataclass(frozen=True)
class Embedded:
    """Where one embedded warehouse keeps its things.

    Attributes:
        home: holds `data/`, `passfile` (0600, pgpass format), `port` and `server.log`.
        binaries: folder with `pg_ctl`, `psql` and the rest.
        system_user: whom the server runs as; None means whoever starts it.
        mark: file in the checkout that says which warehouse it made; None where that lies in it.
        fixed_port: a port that the user insists on.
    """

    home: Path
    binaries: Path
    system_user: str | None
    mark: Path | None
    fixed_port: int | None

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def passfile(self) -> Path:
        return self.home / "passfile"

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    @property
    def id(self) -> Path:
        """Says the same as `mark`, if this checkout made it."""
        return self.home / "id"

    @property
    def port(self) -> int | None:
        """The remembered port; None before the first start."""
        try:
            return int((self.home / "port").read_text())
        except (FileNotFoundError, ValueError):
            return None


def locate(settings: Settings) -> Embedded:
    """This checkout's warehouse. Reads nothing but the installed wheel's position."""
    port = settings.warehouse_port
    if os.geteuid() != 0:
        return Embedded(
            settings.var / "warehouse", server_user.packaged_binaries(), None, None, port
        )
    # The server's own user can neither enter root's folders nor run what lies in them.
    checkout = hashlib.sha256(str(settings.var).encode()).hexdigest()[:12]
    home = server_user.HOME / checkout
    mark = settings.var / "warehouse-id"
    return Embedded(home, server_user.copied_binaries(), NAME, mark, port)


def require_own(server: Embedded) -> None:
    """Let only the checkout pass that made what is there: another one may have had its path.

    Raises:
        AirworthyError: another one made it.
    """
    if server.mark is None or not (server.data / "PG_VERSION").exists():
        return
    made = _read(server.id)
    if made and made == _read(server.mark):
        return
    if not made:
        made = secrets.token_hex(6)
        server.id.write_text(made)
    since = datetime.fromtimestamp((server.data / "PG_VERSION").stat().st_mtime, UTC)
    raise AirworthyError(
        f"The warehouse in {server.home} was made on {since:%Y-%m-%d} by another checkout, which"
        " had the same path.",
        kept="It stays as it is.",
        todo="To begin with an empty one: `make clean-data`. To go on with this one:"
        f" `mkdir -p {quote(str(server.mark.parent))} && echo {made} > {quote(str(server.mark))}`."
        " Then run the same command again.",
    )


def start(server: Embedded) -> bool:
    """Have the server running and answering; True when this call started it.

    Raises:
        AirworthyError: it does not start; the message holds the end of its log.
        UsageError: the port that the user insists on is taken.
    """
    with _only_one(server):
        require_own(server)
        if is_running(server):
            return False
        _prepare(server)
        port = _choose_port(server)
        configuration.write(server.data, port, host=HOST, name=NAME)
        (server.home / "port").write_text(str(port))
        # After a kill the old server's last processes may hold its memory for a moment.
        tries = 5 if _forget_dead_postmaster(server) else 1
        for left in reversed(range(tries)):
            done = _run(server, "pg_ctl", "start", "-D", server.data, "-l", server.log, "-w")
            if done.returncode == 0:
                return True
            time.sleep(1 if left else 0)
        raise AirworthyError(
            f"The embedded PostgreSQL does not start: {_last_lines(server.log)}",
            kept=f"Its data stays in {server.data}.",
            todo="See runbooks/warehouse-does-not-start.md.",
        )


def stop(server: Embedded) -> bool:
    """Stop the server, ending its sessions cleanly; False when it was not running."""
    with _only_one(server):
        if not is_running(server):
            return False
        done = _run(server, "pg_ctl", "stop", "-D", server.data, "-m", "fast", "-w", "-t", 60)
        if done.returncode != 0:
            raise AirworthyError(
                f"The embedded PostgreSQL does not stop: {done.stdout.strip()}",
                kept=f"Its data stays in {server.data}.",
                todo="See runbooks/warehouse-does-not-start.md.",
            )
        return True


def remove(server: Embedded) -> None:
    """Stop the server and delete everything it holds."""
    stop(server)
    shutil.rmtree(server.home, ignore_errors=True)


def is_running(server: Embedded) -> bool:
    """Whether the server's first process lives; one that was killed and never reaped does not."""
    try:
        pid, data, *_ = (server.data / "postmaster.pid").read_text().splitlines()
        process = psutil.Process(int(pid))
        if (
            Path(data).resolve() != server.data.resolve()
        ):  # the folder was copied while the other one's server ran
            return False
        return process.name() == "postgres" and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
        return False


@contextlib.contextmanager
def _only_one(server: Embedded) -> Iterator[None]:
    server.home.mkdir(parents=True, exist_ok=True)
    with (server.home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _forget_dead_postmaster(server: Embedded) -> bool:
    try:
        (server.data / "postmaster.pid").unlink()
    except FileNotFoundError:
        return False
    return True


def _prepare(server: Embedded) -> None:
    if server.system_user:
        server_user.prepare(server.system_user, server.home)
    if (server.data / "PG_VERSION").exists():
        return
    # A half-made cluster holds nothing: initdb writes PG_VERSION's neighbours before data.
    fresh = server.home / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    password = secrets.token_urlsafe(24)
    pwfile = server.home / "initial-password"
    _write_secret(pwfile, password + "\n")
    if server.system_user:
        server_user.give(server.system_user, pwfile)
    done = _run(
        server, "initdb", "-D", fresh, "-U", NAME, "--pwfile", pwfile, "--auth=scram-sha-256",
        "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
    )  # fmt: skip
    pwfile.unlink()
    if done.returncode != 0:
        raise AirworthyError(
            f"The embedded PostgreSQL cannot be created: {done.stderr.strip()[-500:]}",
            kept="Nothing was changed.",
            todo="See runbooks/warehouse-does-not-start.md.",
        )
    with (fresh / "postgresql.conf").open("a") as conf:
        conf.write(f"\ninclude '{configuration.NAME}'\n")
    _write_secret(server.passfile, f"{HOST}:*:*:{NAME}:{password}\n")
    if server.mark:
        server.id.write_text(secrets.token_hex(6))
        server.mark.parent.mkdir(parents=True, exist_ok=True)
        server.mark.write_text(server.id.read_text())
    fresh.rename(server.data)


def _choose_port(server: Embedded) -> int:
    if server.fixed_port:
        if not _is_free(server.fixed_port):
            raise UsageError(
                f"Port {server.fixed_port} (WAREHOUSE_PORT) is taken by another program.",
                kept="Nothing was changed.",
                todo="Stop that program, or choose another WAREHOUSE_PORT, or leave it out.",
            )
        return server.fixed_port
    if server.port and _is_free(server.port):
        return server.port
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _write_secret(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _run(server: Embedded, program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(server.binaries / program), *(str(argument) for argument in arguments)]
    return server_user.run(server.system_user, command, server.home / "output")


def _read(path: Path) -> str:
    """What a file says; nothing if it is not there."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def _last_lines(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return "it left no log"
    return " / ".join(lines[-3:])
