"""Processes that are killed, doubled, or wake up too late."""

from __future__ import annotations

import psycopg
import pytest

from tests.faults.world import DAILY, FACTS, STEPS, World


@pytest.mark.parametrize("model", [FACTS, DAILY])
def test_dbt_killed_in_the_middle_of_an_incremental_model(world: World, model: str) -> None:
    with world.stop_at(f"candidate.{model}", run_id=3) as point:
        process = world.start("run")
        point.reached(process)
        process.kill()
    world.require_rerun_converges()


@pytest.mark.parametrize("made", ["airports", "stg_weather__observations", "dim_airports"])
def test_dbt_killed_in_the_middle_of_a_seed_a_view_a_table(world: World, made: str) -> None:
    world.reset("migrated")
    with world.stop_when_made(made, run_id=1) as point:
        process = world.start("run")
        point.reached(process)
        process.kill()
    world.require_rerun_converges(before={})


def test_a_killed_publish_has_done_nothing_or_all_of_it(world: World) -> None:
    for step in STEPS[:-1]:
        world.call(step)
    with world.stop_at(f"published.{FACTS}") as point:
        process = world.start("publish")
        point.reached(process)
        process.kill()
        assert world.digests() == world.before
        # The server has not noticed yet and holds the lock; nobody comes between.
        assert "Another run is active" in world.call("run", code=75)
    # Whether it commits depends on whether it notices before; the re-run ends the same either way.
    world.require_rerun_converges()
    assert world.query("select count(*) from ops.publications") == [(3,)]


def test_two_publishers_publish_once(world: World) -> None:
    for step in STEPS[:-1]:
        world.call(step)
    ((run_id, token),) = world.query("select run_id, token from ops.runs where state = 'passed'")
    with world.stop_at(f"published.{FACTS}") as point:
        first = world.start("publish")
        point.reached(first)
        world.call("publish", code=75)
        # Somebody who does not ask for the lock waits for the run's row.
        with world.connect() as other, other.cursor() as cursor:
            other.execute("set lock_timeout = '200ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                cursor.execute("select ops.publish(%s, %s)", [run_id, token])
            point.release()
            assert first.wait() == 0
            with pytest.raises(psycopg.Error, match="is published, not passed"):
                cursor.execute("select ops.publish(%s, %s)", [run_id, token])
    assert "There is no unfinished run" in world.call("publish", code=1)
    assert world.query("select count(*) from ops.publications") == [(3,)]
    world.require_rerun_converges()


def test_of_two_runs_at_once_one_is_turned_away_and_a_halted_one_goes_on(world: World) -> None:
    with world.stop_at(f"candidate.{FACTS}", run_id=3) as point:
        first = world.start("run")
        point.reached(first)
        first.stop()
        ledger = world.query("select count(*) from ops.runs")
        for verb in ("run", "plan", "build", "gate", "publish"):
            assert "Another run is active" in world.call(verb, code=75)
        assert world.query("select count(*) from ops.runs") == ledger
        first.go_on()
    assert first.wait() == 0
    world.require_rerun_converges()


def test_two_runs_started_together_publish_once(world: World) -> None:
    both = [world.start("run") for _ in range(2)]
    codes = {process.wait() for process in both}
    assert 0 in codes
    assert codes <= {0, 75}
    assert world.query("select count(*) from ops.publications") == [(3,)]
    world.require_rerun_converges()


def test_every_step_done_twice_is_done_once(world: World) -> None:
    for step in STEPS[:-1]:
        world.call(step)
        world.call(step)
    world.call("publish")
    world.call("publish", code=1)
    assert world.query("select count(*) from ops.publications") == [(3,)]
    assert world.query("select state from ops.runs order by run_id") == [
        ("published",), ("published",), ("superseded",), ("published",)
    ]  # fmt: skip
    world.require_rerun_converges()


def test_a_second_rollback_finds_nothing_to_go_back_to(world: World) -> None:
    world.call("rollback", "--reason", "a test")
    back = world.digests()
    world.call("rollback", "--reason", "again", code=2)
    assert world.digests() == back
    world.call("resume", "--reason", "a test")
    world.require_rerun_converges(before=back)
