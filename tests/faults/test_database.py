"""What the database can do to a run: end its sessions, stop, refuse a lock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from orchestration.warehouse_server import embedded, server_user
from tests.faults.chunks import THREE_DAYS, require_all_of_it
from tests.faults.converge import before, require_nothing_half_done, require_rerun_converges
from tests.support import files, points, states
from tests.support.checkout import Checkout
from tests.support.points import FACTS, MIDDLE, STEPS, coming_run, stop_at

_KEPT = "due"


def test_a_session_that_is_ended_in_the_middle_of_any_step_spoils_nothing(due: Checkout) -> None:
    for step in STEPS:
        with stop_at(due, MIDDLE[step], coming_run(due) if step == "build" else 0) as point:
            process = due.start("run")
            session = point.reached(process)
            assert due.value(f"select pg_terminate_backend({session})") is True
            # dbt records that its model failed; the other steps end with the error.
            assert process.wait() == (3 if step == "build" else 1)
        assert "Traceback" not in process.said
        assert due.digests() == before()
        points.quiet(due)
        require_nothing_half_done(due)
    require_rerun_converges(due)


def test_a_server_that_stops_at_once_in_the_middle_of_any_step_spoils_nothing(
    on_own_server: Checkout,
) -> None:
    made = on_own_server
    for step in STEPS:
        with stop_at(made, MIDDLE[step], coming_run(made) if step == "build" else 0) as point:
            process = made.start("run")
            point.reached(process)
            stop_at_once(made)
            assert process.wait() == 1
        assert "Traceback" not in process.said
        made.call("up")
        require_nothing_half_done(made)
        assert made.digests() == before()
    require_rerun_converges(made)


def test_a_server_that_stops_at_once_in_the_middle_of_a_chunk_spoils_no_backfill(
    on_own_server: Checkout,
) -> None:
    made = on_own_server
    made.call("ingest")
    with stop_at(made, f"candidate.{FACTS}", 4) as point:
        process = made.start(*THREE_DAYS)
        point.reached(process)
        stop_at_once(made)
        assert process.wait() == 1
    assert "Traceback" not in process.said
    made.call("up")
    made.call("backfill", "--resume", "1")
    require_all_of_it(made)


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """The state `due` on a server that no other test needs; it is kept as a database."""
    made = states.with_server(tmp_path_factory.mktemp("server"))
    made.call("up")
    made.list_stations()
    for n in range(2):
        made.land(files.DAY + timedelta(n))
        made.call("run")
    assert made.digests() == before()
    made.correct()
    made.land(files.DAY + timedelta(2))
    points.quiet(made)
    with made.connect(dbname="postgres") as connection:
        connection.execute(f"create database {_KEPT} template airworthy strategy file_copy")
    yield made
    made.end()
    embedded.remove(embedded.locate(made.settings))


@pytest.fixture
def on_own_server(own_server: Checkout) -> Iterator[Checkout]:
    """The same state for each test."""
    own_server.call("up")
    with own_server.connect(dbname="postgres") as connection:
        connection.execute("drop database airworthy with (force)")
        # By file: a sequence that was copied through the log runs backwards after a crash.
        connection.execute(f"create database airworthy template {_KEPT} strategy file_copy")
    yield own_server
    own_server.end()


def stop_at_once(made: Checkout) -> None:
    """What a power failure leaves: no session ends its work, nothing is written out."""
    server = embedded.locate(made.settings)
    command = [str(server.binaries / "pg_ctl"), "stop", "-D", str(server.data), "-m", "immediate"]
    done = server_user.run(server.system_user, command, server.home / "output")
    assert done.returncode == 0, done.stdout
