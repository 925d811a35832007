"""States that tests start from. All run on real PostgreSQL servers that end with the run."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from orchestration import database, settings
from orchestration.auditing import auditor
from orchestration.settings import Settings
from orchestration.warehouse_server import embedded, warehouse
from tests import warehouses
from tests.flights import land_days
from tests.needs import NEEDS, POSTGRESQL

PROJECT = Path(__file__).resolve().parent.parent
NewWarehouse = Callable[..., Settings]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Do not run tests whose program is missing, and say so at the end; in CI they fail instead."""
    packages = {need.name: need for need in NEEDS}
    for item in items:
        marker = item.get_closest_marker("needs")
        need = packages[marker.args[0]] if marker else None
        if need and need.find() is None and "CI" not in settings.environment_with({}):
            how = f"not run; enable with `apt-get install {need.package}`"
            item.add_marker(pytest.mark.skip(reason=how))


@pytest.fixture(scope="session")
def embedded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A throw-away embedded PostgreSQL 18, up and migrated.

    Each run's auditor is a copy of this process, which has the library: it takes seconds to load.
    """
    auditor.load()
    given = settings.load({"VAR_DIR": str(tmp_path_factory.mktemp("var"))})
    try:
        warehouse.up(given)
        yield given
    finally:
        embedded.remove(embedded.locate(given))


@pytest.fixture(scope="session")
def debian_server() -> Iterator[dict[str, str]]:
    """A throw-away PostgreSQL of Debian's (15 on Debian 12), as libpq's variables."""
    initdb = POSTGRESQL.find()
    assert initdb, "set-up should have installed it"
    binaries = initdb.parent
    home = Path(tempfile.mkdtemp(prefix="airworthy-debian-"))
    account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    who: dict[str, Any] = {}
    if account:
        who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        os.chown(home, account.pw_uid, account.pw_gid)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(binaries / program), *arguments], check=True, cwd="/", stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **who,
        )  # fmt: skip

    data, port = str(home / "data"), _free_port()
    password = secrets.token_urlsafe(12)
    (home / "password").write_text(password)
    run("initdb", "-D", data, "-U", "tester", "-A", "scram-sha-256", "--encoding=UTF8",
        "--locale=C", f"--pwfile={home / 'password'}")  # fmt: skip
    options = f"-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
    run("pg_ctl", "start", "-D", data, "-w", "-l", str(home / "log"), "-o", options)
    yield {"host": "127.0.0.1", "port": str(port), "user": "tester", "password": password}
    run("pg_ctl", "stop", "-D", data, "-m", "immediate", "-w")
    shutil.rmtree(home)


@pytest.fixture
def new_warehouse(embedded_server: Settings, tmp_path: Path) -> NewWarehouse:
    """Call it for an empty database with a landing place and a var of its own."""

    def create(name: str = "main") -> Settings:
        return warehouses.new(embedded_server, tmp_path / name)

    return create


@pytest.fixture(scope="session")
def observed_warehouse(
    embedded_server: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """One day is published, by `run` in a process of its own, which left its log in `var/said`.

    Tests may add to it what they do not take for granted elsewhere.
    """
    given = warehouses.new(embedded_server, tmp_path_factory.mktemp("observed"))
    land_days(given, date(2013, 1, 2))
    variables = {
        "WAREHOUSE_URL": str(given.warehouse_url), "VAR_DIR": str(given.var),
        "LANDING_URL": given.landing_url, "LOG_FORMAT": "json", "SETTLE_SECONDS": "0",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "orchestration", "run"], cwd=PROJECT, text=True,
        capture_output=True, env=settings.environment_with(variables),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (given.var / "said").write_text(done.stdout)
    return given


@pytest.fixture
def empty_warehouse(new_warehouse: NewWarehouse) -> Settings:
    """An empty database with a current ledger, and an empty landing place."""
    given = new_warehouse()
    warehouse.up(given)
    return given


@pytest.fixture
def debian_warehouse(debian_server: dict[str, str], tmp_path: Path) -> Settings:
    """The same on Debian's PostgreSQL."""
    name = f"test_{secrets.token_hex(4)}"
    server = make_conninfo(**debian_server, dbname="postgres")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    url = "postgresql://{user}:{password}@{host}:{port}/".format(**debian_server) + name
    given = warehouses.of(tmp_path / "debian", url)
    warehouse.up(given)
    return given


@pytest.fixture
def connection(empty_warehouse: Settings) -> Iterator[database.Connection]:
    with database.connect(empty_warehouse) as opened:
        yield opened


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
