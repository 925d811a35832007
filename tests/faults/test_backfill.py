"""Backfills that are killed, stopped, doubled, or meet others.

Three days of readings: the first corrected, the third new; see `chunks.py`.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.faults.chunks import LAST, THREE_DAYS, published_chunks, require_all_of_it
from tests.faults.converge import after
from tests.support import files
from tests.support.checkout import Checkout
from tests.support.points import DAILY, FACTS, await_while_running, kill_at, stop_at


@pytest.fixture
def taken_in(due: Checkout) -> Checkout:
    due.call("ingest")
    return due


def test_killed_at_any_chunk_it_goes_on_with_the_first_unfinished_one(taken_in: Checkout) -> None:
    made = taken_in
    kill_at(made, stop_at(made, f"published.{FACTS}"), *THREE_DAYS)
    # Whether the publication commits depends on whether the server notices before.
    first = published_chunks(made)
    assert first in ([], [1])
    second = 4 if first else 5
    kill_at(made, stop_at(made, f"candidate.{FACTS}", second), *THREE_DAYS)
    assert published_chunks(made) == [1]
    kill_at(made, stop_at(made, f"candidate.{DAILY}", second + 2), "backfill", "--resume", "1")
    assert published_chunks(made) == [1, 2]
    made.call("backfill", "--resume", "1")
    require_all_of_it(made)


def test_who_waits_has_a_turn_between_two_chunks_and_nothing_is_planned_twice(
    taken_in: Checkout,
) -> None:
    made = taken_in
    with stop_at(made, f"candidate.{FACTS}", 3) as point:
        first = made.start(*THREE_DAYS)
        point.reached(first)
        said = made.call("backfill", "--start", str(LAST), "--end", str(LAST), code=2)
        assert "overlaps that of backfill 1" in said
        run = made.start("run")
        await_while_running(lambda: _waiting(made) == 1, first, run)
        second = made.start(*THREE_DAYS)
        await_while_running(lambda: _waiting(made) == 2, first, run, second)
    for process in (run, first, second):
        assert process.wait() == 0, process.said
    kinds = made.query("select kind from ops.runs where run_id > 2 order by run_id")
    assert kinds == [("backfill",), ("changes",), ("backfill",), ("backfill",)]
    require_all_of_it(made)


def _waiting(made: Checkout) -> int:
    """How many commands wait for another one's lock."""
    return len(made.query(
        "select from pg_stat_activity where wait_event_type = 'Lock'"
        " and application_name = 'airworthy main' and datname = current_database()"
    ))  # fmt: skip


def test_pausing_and_cancelling_take_effect_at_the_next_chunk(taken_in: Checkout) -> None:
    made = taken_in
    with stop_at(made, f"candidate.{FACTS}", 3) as point:
        process = made.start(*THREE_DAYS)
        point.reached(process)
        made.call("backfill-pause")
    assert process.wait() == 1
    assert "is paused" in process.said
    assert published_chunks(made) == [1]
    with stop_at(made, f"candidate.{FACTS}", 4) as point:
        process = made.start("backfill", "--resume", "1")
        point.reached(process)
        made.call("backfill-cancel", "--backfill", "1")
    assert process.wait() == 1
    assert "is cancelled" in process.said
    assert published_chunks(made) == [1, 2]
    assert "is cancelled" in made.call("backfill", "--resume", "1", code=2)
    assert "no single unfinished backfill" in made.call("backfill-pause", code=2)
    made.call("run")
    assert made.digests() == after()


def test_changed_code_is_refused_until_it_is_accepted(taken_in: Checkout) -> None:
    made = taken_in
    with stop_at(made, f"candidate.{FACTS}", 3) as point:
        process = made.start(*THREE_DAYS)
        point.reached(process)
        made.edit(f"models/marts/{DAILY}.sql", "with\n", "-- by day\nwith\n")
    assert process.wait() == 1
    assert "changed since backfill 1 was planned" in process.said
    assert published_chunks(made) == [1]
    assert "REPIN=1" in made.call("backfill", "--resume", "1", code=1)
    made.call("backfill", "--resume", "1", "--repin")
    assert published_chunks(made) == [1, 1, 2, 3]
    assert made.digests() == after()


def test_a_day_missing_within_the_range_is_reported_and_has_to_be_accepted(
    taken_in: Checkout,
) -> None:
    made = taken_in
    ledger = "select count(*) from ops.backfills union all select count(*) from ops.runs"
    missing = files.DAY + timedelta(1)
    delivery = made.value(
        "select delivery_id from ops.deliveries where slice_date = %s and outcome = 'loaded'",
        missing,
    )
    made.call("withdraw", "--delivery", str(delivery), "--reason", "a test")
    before = made.query(ledger)
    said = made.call(*THREE_DAYS, code=2)
    assert "readings 1 (2013-03-10)" in said
    assert "ALLOW_GAPS=1" in said
    assert made.query(ledger) == before
    made.call(*THREE_DAYS, "--allow-gaps")
    rows = made.value(f"select count(*) from published.{FACTS} where reading_date = %s", missing)
    assert rows == 0
    assert "nothing was delivered or changed" in made.call("run")
