from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from orchestration import database, settings
from orchestration.errors import UsageError
from orchestration.settings import Settings
from orchestration.warehouse_server import embedded, warehouse
from tests.conftest import PROJECT


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Settings]:
    """Settings whose embedded warehouse was never started; its path holds a space."""
    given = settings.load({"VAR_DIR": str(tmp_path / "a folder" / "var")})
    yield given
    embedded.remove(embedded.locate(given))


def test_it_starts_once_stops_and_keeps_its_data_and_port(fresh: Settings) -> None:
    assert warehouse.up(fresh)
    server = embedded.locate(fresh)
    port = server.port
    assert warehouse.up(fresh) == []
    with database.connect(fresh) as connection:
        connection.execute("create table public.kept as select 1 as n")
        shown = connection.execute(
            "select current_setting('fsync'), current_setting('listen_addresses'),"
            " current_setting('unix_socket_directories'), current_setting('TimeZone')"
        ).fetchone()
    assert shown == ("on", "127.0.0.1", "", "UTC")
    assert embedded.stop(server)
    assert not embedded.stop(server)
    warehouse.up(fresh)
    assert server.port == port
    with database.connect(fresh) as connection:
        assert connection.execute("select n from public.kept").fetchone() == (1,)


def test_it_demands_the_generated_password(fresh: Settings) -> None:
    warehouse.up(fresh)
    server = embedded.locate(fresh)
    assert server.passfile.stat().st_mode & 0o777 == 0o600
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            host="127.0.0.1", port=server.port, user="airworthy", dbname="airworthy", password="x"
        )


def test_a_stray_password_in_the_environment_does_not_get_in_the_way(
    fresh: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PGPASSWORD", "of another server")
    warehouse.up(fresh)
    assert warehouse.psql(fresh, "select 40 + 2") == 0
    assert "42" in capfd.readouterr().out


def test_it_outlives_the_process_that_started_it(fresh: Settings) -> None:
    subprocess.run(
        [sys.executable, "-m", "orchestration", "up"], cwd=PROJECT, check=True,
        env=settings.environment_with({"VAR_DIR": str(fresh.var)}), capture_output=True,
    )  # fmt: skip
    assert embedded.is_running(embedded.locate(fresh))
    with database.connect(fresh) as connection:
        assert connection.execute("select count(*) from ops.runs").fetchone() == (0,)


def test_two_checkouts_have_two_servers(fresh: Settings, embedded_server: Settings) -> None:
    warehouse.up(fresh)
    mine, other = embedded.locate(fresh), embedded.locate(embedded_server)
    assert mine.port != other.port
    assert mine.home != other.home


def test_a_remembered_port_that_is_taken_is_exchanged(fresh: Settings) -> None:
    warehouse.up(fresh)
    server = embedded.locate(fresh)
    port = server.port or 0
    embedded.stop(server)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        warehouse.up(fresh)
        assert server.port != port


def test_a_demanded_port_that_is_taken_is_an_error(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        given = settings.load({"VAR_DIR": str(tmp_path), "WAREHOUSE_PORT": str(port)})
        with pytest.raises(UsageError, match=f"Port {port}"):
            warehouse.up(given)
        embedded.remove(embedded.locate(given))


def test_killed_and_left_with_a_stale_pid_file_it_starts_again(fresh: Settings) -> None:
    warehouse.up(fresh)
    server = embedded.locate(fresh)
    pid = int((server.data / "postmaster.pid").read_text().split()[0])
    os.kill(pid, 9)
    while embedded.is_running(server):
        time.sleep(0.01)
    warehouse.up(fresh)
    with database.connect(fresh) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_an_ordinary_user_runs_it_without_help() -> None:
    code = (
        "from orchestration import database, settings\n"
        "from orchestration.warehouse_server import embedded, warehouse\n"
        "given = settings.load()\n"
        "warehouse.up(given)\n"
        "with database.connect(given) as c: print(c.execute('select 6 * 7').fetchone())\n"
        "embedded.remove(embedded.locate(given))\n"
    )
    home = Path(tempfile.mkdtemp(prefix="airworthy-user-", dir="/var/tmp"))
    try:
        python, variables, who = _python_for_nobody(home) if os.geteuid() == 0 else ("", {}, {})
        done = subprocess.run(
            [python or sys.executable, "-W", "ignore", "-c", code], cwd=home, **who,
            env={"PYTHONPATH": str(PROJECT), "VAR_DIR": str(home / "var"), "PATH": os.defpath}
            | variables,
            capture_output=True, text=True,
        )  # fmt: skip
        assert "(42,)" in done.stdout, done.stderr
    finally:
        shutil.rmtree(home)


def _python_for_nobody(home: Path) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Copies of what root's Python runs on, in a folder that the user nobody may enter."""
    account = pwd.getpwnam("nobody")
    leave = shutil.ignore_patterns("__pycache__", "test", "site-packages")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copytree(Path(sys.base_prefix, "lib", version), home / "lib" / version, ignore=leave)
    shutil.copytree(sysconfig.get_path("purelib"), home / "packages", symlinks=True)
    shutil.copytree(PROJECT / "orchestration", home / "orchestration", ignore=leave)
    for library in Path(sys.base_prefix, "lib").glob("libpython*.so*"):
        shutil.copy(library, home / "lib")
    python = shutil.copy(os.path.realpath(sys.executable), home / "python")
    shutil.chown(home, account.pw_uid, account.pw_gid)
    variables = {
        "PYTHONHOME": str(home), "PYTHONPATH": f"{home}:{home / 'packages'}", "HOME": str(home),
        "LD_LIBRARY_PATH": str(home / "lib"),
    }  # fmt: skip
    who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return str(python), variables, who
