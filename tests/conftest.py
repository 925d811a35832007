"""States that tests start from. All run on real servers that end with the run, however it ends."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from orchestration import settings
from orchestration.warehouse_server import embedded
from tests.support import keeper, schedule, shared, states
from tests.support.checkout import Checkout
from tests.support.needs import NEEDS, POSTGRESQL


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let a keeper run the tests, and only wait here."""
    if keeper.is_kept() or config.option.collectonly:
        if worker := os.environ.get("PYTEST_XDIST_WORKER"):
            schedule.give_way(worker)
        return
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture:
        capture.suspend_global_capture(in_=True)
    os._exit(keeper.main_pytest([sys.executable, "-m", "pytest", *config.invocation_params.args]))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """How `make test` spreads tests over workers."""
    return schedule.ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Do not run tests whose program is missing, and say so at the end; in CI they fail instead."""
    schedule.order(items)
    packages = {need.name: need for need in NEEDS}
    for item in items:
        marker = item.get_closest_marker("needs")
        need = packages[marker.args[0]] if marker else None
        if need and need.find() is None and "CI" not in settings.environment_with({}):
            how = f"not run; enable with `apt-get install {need.package}`"
            item.add_marker(pytest.mark.skip(reason=how))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many seconds each part took, set-up of its states included."""
    seconds: dict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                folder, *rest = report.nodeid.removeprefix("tests/").split("/")
                seconds[folder if rest else "rules and docs"] += report.duration
    if seconds:
        parts = sorted(seconds.items(), key=lambda part: -part[1])
        terminalreporter.write_line(", ".join(f"{name} {took:.0f} s" for name, took in parts))


def _copied(state: str, folder: Path) -> Iterator[Checkout]:
    made = states.copy(state, folder)
    yield made
    made.end()
    states.drop(made)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Checkout]:
    """The small project with a current ledger; nothing has landed."""
    yield from _copied("empty", tmp_path)


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Checkout]:
    """The small project; two days are published, one after the other."""
    yield from _copied("published", tmp_path)


@pytest.fixture
def due(tmp_path: Path) -> Iterator[Checkout]:
    """The same; a correction of the first day and a third day have landed.

    The run that is due inserts, updates and deletes in two marts, one built from the other.
    """
    yield from _copied("due", tmp_path)


@pytest.fixture
def three_publications(tmp_path: Path) -> Iterator[Checkout]:
    """The small project; two days are published, then a correction of the first one."""
    yield from _copied("three_publications", tmp_path)


@pytest.fixture
def held_back(tmp_path: Path) -> Iterator[Checkout]:
    """The small project; a day is published, hostile rows and a hostile file were held back."""
    yield from _copied("held_back", tmp_path)


@pytest.fixture
def flights(tmp_path: Path) -> Iterator[Checkout]:
    """The real project; nothing has landed."""
    yield from _copied("flights", tmp_path)


@pytest.fixture
def published_flights(tmp_path: Path) -> Iterator[Checkout]:
    """The real project; three days of March are published at once."""
    yield from _copied("published_flights", tmp_path)


@pytest.fixture
def with_server(tmp_path: Path) -> Iterator[Checkout]:
    """The small project with an embedded PostgreSQL of its own, up and migrated."""
    made = states.with_server(tmp_path)
    made.call("up")
    yield made
    made.end()
    embedded.remove(embedded.locate(made.settings))


@pytest.fixture(scope="session")
def debian_server() -> Iterator[dict[str, str]]:
    """A throw-away PostgreSQL of Debian's (15 on Debian 12), as libpq's variables."""
    initdb = POSTGRESQL.find()
    assert initdb, "set-up should have installed it"
    binaries = initdb.parent
    home = Path(tempfile.mkdtemp(prefix="airworthy-debian-"))
    keeper.remove_at_the_end(home)
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

    data, port = str(home / "data"), shared.free_port()
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
def on_debian(debian_server: dict[str, str], tmp_path: Path) -> Checkout:
    """The small project on Debian's PostgreSQL; nothing is there yet."""
    name = f"test_{secrets.token_hex(4)}"
    server = make_conninfo(**debian_server, dbname="postgres")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    url = "postgresql://{user}:{password}@{host}:{port}/".format(**debian_server) + name
    made = states.copy("empty", tmp_path / "debian")
    return Checkout(made.folder, {"WAREHOUSE_URL": url})
