"""Processes that are killed, doubled, or wake up too late."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from tests.faults.converge import before, require_rerun_converges
from tests.support import files
from tests.support.checkout import Checkout
from tests.support.points import (
    DAILY,
    FACTS,
    STEPS,
    coming_run,
    kill_at,
    stop_at,
    stop_when_made,
)


def test_dbt_killed_in_the_middle_of_one_incremental_model_after_the_other(due: Checkout) -> None:
    for model in (FACTS, DAILY):
        kill_at(due, stop_at(due, f"candidate.{model}", coming_run(due)), "run")
        assert due.digests() == before()
    require_rerun_converges(due)


def test_dbt_killed_in_the_middle_of_a_seed_then_of_a_view_then_of_a_table(
    empty: Checkout,
) -> None:
    empty.list_stations()
    empty.land(*(files.DAY + timedelta(n) for n in range(3)))
    empty.correct()
    for made in ("regions", "stg_readings__readings", "dim_stations"):
        kill_at(empty, stop_when_made(empty, made, coming_run(empty)), "run")
        assert empty.digests() == {}
    require_rerun_converges(empty, published={})


def test_a_killed_publish_has_done_nothing_or_all_of_it(due: Checkout) -> None:
    for step in STEPS[:-1]:
        due.call(step)
    with stop_at(due, f"published.{FACTS}") as point:
        process = due.start("publish")
        point.reached(process)
        process.kill()
        assert due.digests() == before()
        # The server has not noticed yet and holds the lock; nobody comes between.
        assert "Another run is active" in due.call("run", code=75)
    # Whether it commits depends on whether it notices before; the re-run ends the same either way.
    require_rerun_converges(due)
    assert due.publications == 3


def test_every_step_done_twice_is_done_once_and_of_two_publishers_one_publishes(
    due: Checkout,
) -> None:
    for step in STEPS[:-1]:
        due.call(step)
        due.call(step)
    ((run_id, token),) = due.query("select run_id, token from ops.runs where state = 'passed'")
    with stop_at(due, f"published.{FACTS}") as point:
        first = due.start("publish")
        point.reached(first)
        due.call("publish", code=75)
        # Somebody who does not ask for the lock waits for the run's row.
        with due.connect() as other, other.cursor() as cursor:
            other.execute("set lock_timeout = '200ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                cursor.execute("select ops.publish(%s, %s)", [run_id, token])
            point.release()
            assert first.wait() == 0
            with pytest.raises(psycopg.Error, match="is published, not passed"):
                cursor.execute("select ops.publish(%s, %s)", [run_id, token])
    assert "There is no unfinished run" in due.call("publish", code=1)
    assert due.publications == 3
    assert due.query("select state from ops.runs order by run_id") == [
        ("published",), ("published",), ("superseded",), ("published",)
    ]  # fmt: skip
    require_rerun_converges(due)


def test_of_two_runs_at_once_one_is_turned_away_and_a_halted_one_goes_on(due: Checkout) -> None:
    with stop_at(due, f"candidate.{FACTS}", run_id=3) as point:
        first = due.start("run")
        point.reached(first)
        first.stop()
        ledger = due.query("select count(*) from ops.runs")
        for verb in ("run", "plan", "build", "gate", "publish"):
            assert "Another run is active" in due.call(verb, code=75)
        assert due.query("select count(*) from ops.runs") == ledger
        first.go_on()
    assert first.wait() == 0
    require_rerun_converges(due)


def test_two_runs_started_together_publish_once(due: Checkout) -> None:
    both = [due.start("run") for _ in range(2)]
    codes = {process.wait() for process in both}
    assert 0 in codes
    assert codes <= {0, 75}
    assert due.publications == 3
    require_rerun_converges(due)


def test_a_second_rollback_finds_nothing_to_go_back_to(due: Checkout) -> None:
    due.call("rollback", "--reason", "a test")
    back = due.digests()
    due.call("rollback", "--reason", "again", code=2)
    assert due.digests() == back
    due.call("resume", "--reason", "a test")
    require_rerun_converges(due, published=back)
