"""Backfills that are killed, stopped, doubled, or meet others: 21 and 34 of the faults.

Three days of weather: the first corrected, the third new; see `world.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.faults.test_database import stop_at_once
from tests.faults.world import DAILY, DAY, FACTS, World
from tests.flights import landed

LAST = DAY + timedelta(2)
THREE_DAYS = ("backfill", "--start", str(DAY), "--end", str(LAST), "--chunk", "day")


@pytest.fixture
def taken_in(world: World) -> World:
    world.call("ingest")
    return world


@pytest.fixture
def changed_code(world: World) -> Iterator[Path]:
    """A model of the checkout, for a test to change."""
    path = world.project / f"models/marts/weather/{DAILY}.sql"
    before = path.read_text()
    yield path
    path.write_text(before)


def published_chunks(world: World) -> list[int]:
    rows = world.query(
        "select (lower(covers) - date '2013-03-08') from ops.publications"
        " inner join ops.runs using (run_id) where backfill_id is not null order by publication_id"
    )
    return [number for (number,) in rows]


def require_all_of_it(world: World) -> None:
    """Each chunk is published once, and the marts are those of an undisturbed run."""
    world.quiet()
    assert world.query("select state from ops.backfills") == [("finished",)]
    assert published_chunks(world) == [1, 2, 3]
    assert world.digests() == world.after
    assert "nothing was delivered or changed" in world.call("run")


@pytest.mark.parametrize(
    ("table", "run_id"), [(f"candidate.{FACTS}", 4), (f"candidate.{DAILY}", 5), ("published", 0)]
)
def test_killed_at_any_chunk_it_goes_on_with_the_first_unfinished_one(
    taken_in: World, table: str, run_id: int
) -> None:
    world = taken_in
    table = f"published.{FACTS}" if table == "published" else table
    with world.stop_at(table, run_id) as point:
        process = world.start(*THREE_DAYS)
        point.reached(process)
        process.kill()
    world.quiet()
    world.call(*(THREE_DAYS if run_id == 4 else ("backfill", "--resume", "1")))
    require_all_of_it(world)


def test_a_database_that_stops_at_once_in_the_middle_of_a_chunk_spoils_nothing(
    taken_in: World,
) -> None:
    world = taken_in
    with world.stop_at(f"candidate.{FACTS}", 4) as point:
        process = world.start(*THREE_DAYS)
        point.reached(process)
        stop_at_once(world)
        assert process.wait() == 1
    assert "Traceback" not in process.said
    world.call("up")
    world.call("backfill", "--resume", "1")
    require_all_of_it(world)


def test_a_run_that_waits_has_its_turn_between_two_chunks(taken_in: World) -> None:
    world = taken_in
    with world.stop_at(f"candidate.{FACTS}", 3) as point:
        backfill = world.start(*THREE_DAYS)
        point.reached(backfill)
        run = world.start("run")
        world.until(lambda: world.is_waiting("airworthy main"), run)
    assert run.wait() == 0, run.said
    assert backfill.wait() == 0, backfill.said
    kinds = world.query("select kind from ops.runs where run_id > 2 order by run_id")
    assert kinds == [("backfill",), ("changes",), ("backfill",), ("backfill",)]
    require_all_of_it(world)


def test_pausing_and_cancelling_take_effect_at_the_next_chunk(taken_in: World) -> None:
    world = taken_in
    with world.stop_at(f"candidate.{FACTS}", 3) as point:
        process = world.start(*THREE_DAYS)
        point.reached(process)
        world.call("backfill-pause")
    assert process.wait() == 1
    assert "is paused" in process.said
    assert published_chunks(world) == [1]
    with world.stop_at(f"candidate.{FACTS}", 4) as point:
        process = world.start("backfill", "--resume", "1")
        point.reached(process)
        world.call("backfill-cancel", "--backfill", "1")
    assert process.wait() == 1
    assert "is cancelled" in process.said
    assert published_chunks(world) == [1, 2]
    assert "is cancelled" in world.call("backfill", "--resume", "1", code=2)
    assert "no single unfinished backfill" in world.call("backfill-pause", code=2)
    world.call("run")
    assert world.digests() == world.after


def test_an_overlapping_backfill_is_refused_and_the_same_one_is_not_planned_twice(
    taken_in: World,
) -> None:
    world = taken_in
    with world.stop_at(f"candidate.{FACTS}", 3) as point:
        first = world.start(*THREE_DAYS)
        point.reached(first)
        said = world.call("backfill", "--start", str(LAST), "--end", str(LAST), code=2)
        assert "overlaps that of backfill 1" in said
        second = world.start(*THREE_DAYS)
        world.until(lambda: world.is_waiting("airworthy main"), first)
    assert first.wait() == 0
    assert second.wait() == 0, second.said
    require_all_of_it(world)


def test_changed_code_is_refused_until_it_is_accepted(taken_in: World, changed_code: Path) -> None:
    world = taken_in
    with world.stop_at(f"candidate.{FACTS}", 3) as point:
        process = world.start(*THREE_DAYS)
        point.reached(process)
        changed_code.write_text(changed_code.read_text() + "-- by day\n")
    assert process.wait() == 1
    assert "changed since backfill 1 was planned" in process.said
    assert published_chunks(world) == [1]
    said = world.call("backfill", "--resume", "1", code=1)
    assert "REPIN=1" in said
    world.call("backfill", "--resume", "1", "--repin")
    assert published_chunks(world) == [1, 1, 2, 3]
    assert world.digests() == world.after


def test_a_day_missing_within_the_range_is_reported_and_has_to_be_accepted(
    taken_in: World,
) -> None:
    world = taken_in
    ledger = "select count(*) from ops.backfills union all select count(*) from ops.runs"
    missing = landed(world.given, "weather", DAY + timedelta(1))
    ((delivery,),) = world.query(
        f"select delivery_id from ops.deliveries where uri like '%{missing.name}'"
        " and outcome = 'loaded'"
    )
    world.call("withdraw", "--delivery", str(delivery), "--reason", "a test")
    before = world.query(ledger)
    said = world.call(*THREE_DAYS, code=2)
    assert "weather 1 (2013-03-10)" in said
    assert "ALLOW_GAPS=1" in said
    assert world.query(ledger) == before
    world.call(*THREE_DAYS, "--allow-gaps")
    rows = world.query(
        f"select count(*) from published.{FACTS} where observation_date = '2013-03-10'"
    )
    assert rows == [(0,)]
    assert "nothing was delivered or changed" in world.call("run")
