"""Runs that go on although something later has taken their place."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.faults.converge import after, before, require_rerun_converges
from tests.support import files
from tests.support.checkout import Checkout
from tests.support.points import (
    DAILY,
    FACTS,
    await_while_running,
    is_waiting,
    stop_at,
    stop_when_made,
)


def test_a_build_that_lost_its_run_writes_nothing_into_the_next_one(due: Checkout) -> None:
    """The session that held the lock is gone, so another run begins; the old one's dbt goes on."""
    with stop_when_made(due, FACTS, run_id=3) as old:
        zombie = due.start("run")
        old.reached(zombie)
        assert due.query(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'"
            " and granted and objsubid = 1"
            " and database = (select oid from pg_database where datname = current_database())"
        )
        due.deliver(line.replace(",0.01,", ",0.02,") for line in files.corrected())
        with stop_at(due, "ops.build_results", run_id=4) as new:
            newer = due.start("run")
            await_while_running(lambda: new.is_reached() or is_waiting(due), newer)
            old.release()
            assert zombie.wait() == 1
            new.reached(newer)
        assert newer.wait() == 0, newer.said
    rain = "select station_id, reading_date, sum(rain_millimetres) from published"
    facts = due.query(f"{rain}.{FACTS} group by 1, 2 order by 1, 2")
    assert facts == due.query(f"{rain}.{DAILY} group by 1, 2 order by 1, 2")
    assert ("AAA", files.DAY, Decimal("0.48")) in facts


@pytest.mark.parametrize("resumed", [False, True])
def test_a_rollback_during_a_run_is_not_undone_by_that_run(due: Checkout, resumed: bool) -> None:
    with stop_at(due, "ops.gate_results") as point:
        process = due.start("run")
        point.reached(process)
        due.call("rollback", "--reason", "a test")
        back = due.digests()
        assert back not in (before(), after())
        if resumed:
            due.call("resume", "--reason", "a test")
    process.wait()
    assert due.digests() == back
    if not resumed:
        due.call("run")
        assert due.digests() == back
        due.call("resume", "--reason", "a test")
    require_rerun_converges(due, published=back)
