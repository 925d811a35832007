"""What the database can do to a run: end its sessions, stop, refuse a lock."""

from __future__ import annotations

import pytest

from orchestration.warehouse_server import embedded, server_user
from tests.faults.world import MIDDLE, STEPS, World


@pytest.mark.parametrize("step", STEPS)
def test_a_session_that_is_ended_in_the_middle_of_a_step_spoils_nothing(
    world: World, step: str
) -> None:
    with world.stop_at(MIDDLE[step], 3 if step == "build" else 0) as point:
        process = world.start("run")
        session = point.reached(process)
        assert world.query(f"select pg_terminate_backend({session})") == [(True,)]
        # dbt records that its model failed; the other steps end with the error.
        assert process.wait() == (3 if step == "build" else 1)
    assert "Traceback" not in process.said
    assert world.digests() == world.before
    world.require_rerun_converges()


@pytest.mark.parametrize("step", STEPS)
def test_a_server_that_stops_at_once_in_the_middle_of_a_step_spoils_nothing(
    world: World, step: str
) -> None:
    with world.stop_at(MIDDLE[step], 3 if step == "build" else 0) as point:
        process = world.start("run")
        point.reached(process)
        stop_at_once(world)
        assert process.wait() == 1
    assert "Traceback" not in process.said
    world.call("up")
    assert world.digests() == world.before
    world.require_rerun_converges()


def stop_at_once(world: World) -> None:
    """What a power failure leaves: no session ends its work, nothing is written out."""
    server = embedded.locate(world.given)
    command = [str(server.binaries / "pg_ctl"), "stop", "-D", str(server.data), "-m", "immediate"]
    done = server_user.run(server.system_user, command, server.home / "output")
    assert done.returncode == 0, done.stdout
