"""The embedded PostgreSQL: one server's life, as its checkout's commands start and stop it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from orchestration.daemons.processes import is_alive
from orchestration.settings import PROJECT, environment_with
from tests.support import states
from tests.support.checkout import Checkout
from tests.support.patience import until


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout with a server of its own; its path holds a space.

    A stray password in the environment gets in no command's way.
    """
    made = states.with_server(tmp_path_factory.mktemp("a folder"))
    made.variables["PGPASSWORD"] = "of another server"
    yield made
    made.call("up")
    data = data_of(made)
    made.call("clean-data")
    assert not data.parent.exists()


@pytest.fixture
def running(made: Checkout) -> Checkout:
    """The same, up and current."""
    made.call("up")
    return made


def data_of(made: Checkout) -> Path:
    return Path(made.value("show data_directory"))


def port_of(made: Checkout) -> int:
    return int(made.value("show port"))


def server_of(data: Path) -> psutil.Process:
    """The first process of the server that has its data there."""
    return psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))


def test_it_outlives_the_process_that_started_it(made: Checkout) -> None:
    made.call("down")
    assert "make up" in made.call("status", code=1)
    subprocess.run(
        [sys.executable, "-m", "orchestration", "up"], cwd=PROJECT, check=True,
        env=environment_with(made.variables), capture_output=True,
    )  # fmt: skip
    assert made.value("select count(*) from ops.runs") == 0


def test_it_starts_once_stops_and_keeps_its_data_and_port(running: Checkout) -> None:
    port = port_of(running)
    assert "the warehouse is up and current" in running.call("up")
    running.execute("drop table if exists public.kept; create table public.kept as select 1 as n")
    names = ("fsync", "listen_addresses", "unix_socket_directories", "TimeZone")
    shown = tuple(running.value(f"show {name}") for name in names)
    assert shown == ("on", "127.0.0.1", "", "UTC")
    assert "stopped" in running.call("down")
    assert "it was not running" in running.call("down")
    assert f"started the embedded PostgreSQL on 127.0.0.1:{port}" in running.call("up")
    assert port_of(running) == port
    assert running.value("select n from public.kept") == 1


def test_it_demands_the_generated_password(running: Checkout) -> None:
    (passfile,) = re.findall(r"export PGPASSFILE=(.*)", running.call("env"))
    assert Path(passfile).stat().st_mode & 0o777 == 0o600
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            host="127.0.0.1", port=port_of(running), user="airworthy", dbname="airworthy",
            password="x",
        )  # fmt: skip


def test_psql_finds_it_in_spite_of_a_stray_password(running: Checkout) -> None:
    assert "PGPASSWORD" in running.variables
    assert "42" in running.call("psql", "--sql", "select 40 + 2")


def test_two_checkouts_have_two_servers(running: Checkout) -> None:
    other = states.server()
    assert port_of(running) != port_of(other)
    assert data_of(running) != data_of(other)


def test_a_port_that_is_taken_is_an_error_if_demanded_and_exchanged_if_remembered(
    running: Checkout,
) -> None:
    port = port_of(running)
    running.call("down")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        assert f"Port {port}" in running.call("up", code=2, WAREHOUSE_PORT=str(port))
        assert "make up" in running.call("status", code=1)
        running.call("up")
        assert port_of(running) != port


def test_killed_and_left_with_a_stale_pid_file_it_starts_again(running: Checkout) -> None:
    data = data_of(running)
    server = server_of(data)
    server.kill()
    until(lambda: not is_alive(server))
    assert (data / "postmaster.pid").exists()
    running.call("up")
    assert running.value("select 1") == 1
    assert server_of(data).pid != server.pid


@pytest.mark.skipif(os.geteuid() != 0, reason="others keep their data within the checkout")
def test_a_checkout_made_anew_at_the_same_path_does_not_go_on_with_the_old_data(
    running: Checkout,
) -> None:
    running.execute("create table public.of_the_first as select 1 as n")
    shutil.rmtree(running.var)
    running.var.mkdir()
    for verb in ("up", "status", "run", "psql"):
        said = " ".join(running.call(verb, code=1).split())
        assert "was made on" in said
        assert "by another checkout, which had the same path" in said
        assert "make clean-data" in said
    (way,) = re.findall(r"`(mkdir -p .* && echo \w+ > .*?)`", said)
    subprocess.run(["sh", "-c", way], check=True)
    running.call("up")
    assert running.value("select n from public.of_the_first") == 1
    shutil.rmtree(running.var)
    running.var.mkdir()
    running.call("clean-data")
    running.call("up")
    assert running.value("select to_regclass('public.of_the_first')") is None
