"""Runs that go on although something later has taken their place."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.faults.world import DAILY, DAY, FACTS, World, correct


def test_a_build_that_lost_its_run_writes_nothing_into_the_next_one(world: World) -> None:
    """The session that held the lock is gone, so another run begins; the old one's dbt goes on."""
    with world.stop_when_made(FACTS, run_id=3) as old:
        zombie = world.start("run")
        old.reached(zombie)
        world.query(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'"
            " and granted and objsubid = 1"
        )
        correct(world.given, "0.02")
        with world.stop_at("ops.build_results", run_id=4) as new:
            newer = world.start("run")
            world.until(lambda: new.is_reached() or world.is_waiting("airworthy main"), newer)
            old.release()
            assert zombie.wait() == 1
            new.reached(newer)
        assert newer.wait() == 0, newer.said
    rain = "select airport_id, observation_date, sum(precipitation_inches) from published"
    facts = world.query(f"{rain}.{FACTS} group by 1, 2 order by 1, 2")
    assert facts == world.query(f"{rain}.{DAILY} group by 1, 2 order by 1, 2")
    assert ("EWR", DAY, Decimal("0.48")) in facts


@pytest.mark.parametrize("resumed", [False, True])
def test_a_rollback_during_a_run_is_not_undone_by_that_run(world: World, resumed: bool) -> None:
    with world.stop_at("ops.gate_results") as point:
        process = world.start("run")
        point.reached(process)
        world.call("rollback", "--reason", "a test")
        back = world.digests()
        assert back not in (world.before, world.after)
        if resumed:
            world.call("resume", "--reason", "a test")
    process.wait()
    assert world.digests() == back
    if not resumed:
        world.call("run")
        assert world.digests() == back
        world.call("resume", "--reason", "a test")
    world.require_rerun_converges(before=back)
