"""Ranges of dates, rebuilt chunk by chunk; in the end the marts of a build from scratch.

Three days around the end of a month, in marts by day, by month and over the 28 days before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.support import files, shared, states
from tests.support.checkout import Checkout, Digests

FIRST, SECOND, LAST = (files.TURN + timedelta(n) for n in range(3))


@pytest.fixture
def corrected(tmp_path: Path) -> Iterator[Checkout]:
    """The three days are published, the first and the last were corrected since."""
    made = states.copy("two_corrected", tmp_path)
    yield made
    made.end()
    states.drop(made)


@pytest.fixture
def calendar(tmp_path: Path) -> Iterator[Checkout]:
    """The same project; nothing has landed."""
    made = states.copy("calendar", tmp_path)
    yield made
    made.end()
    states.drop(made)


def from_scratch(state: str) -> Digests:
    """What a build from scratch makes of the three days, as they came or `corrected`."""
    kept = shared.once("two-corrected-from-scratch", _build_from_scratch) / "digests"
    return {
        mart: (count, digest)
        for mart, (count, digest) in json.loads(kept.read_text())[state].items()
    }


def _build_from_scratch(folder: Path) -> None:
    there = states.copy("two_corrected", folder / "there")
    scratch = states.copy("calendar", folder / "scratch")
    scratch.list_stations()
    for day in (FIRST, SECOND, LAST):
        scratch.deliver(files.readings(day, hours=4) if day == SECOND else files.rekeyed(day), day)
    scratch.call("run")
    known = {"as they came": there.digests(), "corrected": scratch.digests()}
    for made in (there, scratch):
        states.drop(made)
    (folder / "digests").write_text(json.dumps(known))


def backfill(made: Checkout, first: date, last: date, *options: str, code: int = 0) -> str:
    return made.call("backfill", "--start", str(first), "--end", str(last), *options, code=code)


def test_a_first_load_in_chunks_is_a_build_from_scratch_and_leaves_nothing_to_do(
    calendar: Checkout,
) -> None:
    calendar.list_stations()
    for day in (FIRST, SECOND, LAST):
        calendar.deliver(files.readings(day, hours=4), day)
    calendar.call("ingest")
    backfill(calendar, FIRST, LAST, "--chunk", "2d")
    assert states_of_chunks(calendar) == ["published", "published"]
    assert calendar.digests() == from_scratch("as they came")
    assert calendar.has_nothing_to_do()
    # Again: nothing differs, nothing is due after it; of a part as of all.
    backfill(calendar, SECOND, SECOND, "--models", "agg_stations_daily")
    assert calendar.changes() == {}
    assert calendar.digests() == from_scratch("as they came")
    built = calendar.query(
        "select name from ops.run_nodes where resource_type = 'model'"
        " and run_id = (select max(run_id) from ops.runs) order by 1"
    )
    assert built == [("agg_stations_daily",), ("agg_stations_rolling",)]
    assert calendar.has_nothing_to_do()


def test_a_part_leaves_the_rest_for_the_next_run_and_can_be_taken_back(
    corrected: Checkout,
) -> None:
    made, before = corrected, corrected.digests()
    backfill(made, FIRST, SECOND, "--chunk", "1d")
    half = made.digests()
    assert half not in (before, from_scratch("corrected"))
    assert made.step("plan") is not None
    take_back_to(made, 1)
    assert made.digests() == before
    assert "Publishing is held" in backfill(made, LAST, LAST, code=1)
    made.call("resume", "--reason", "a test")
    # What was taken back is built again; then on from the middle.
    count = made.publications
    made.call("run")
    assert made.publications == count + 1
    assert made.digests() == from_scratch("corrected")
    take_back_to(made, 2)
    made.call("resume", "--reason", "a test")
    assert made.digests()["fct_readings"][0] == half["fct_readings"][0]
    whole = ("--chunk", "1d", "--backwards")
    assert "overlaps" in backfill(made, FIRST, LAST, *whole, "--stage", code=2)
    made.call("backfill", "--resume", "2")
    assert made.digests() == from_scratch("corrected")
    assert made.has_nothing_to_do()


def test_compared_it_publishes_nothing_and_staged_all_at_once(corrected: Checkout) -> None:
    made, before = corrected, corrected.digests()
    said = backfill(made, FIRST, LAST, "--chunk", "1d", "--dry-run", "diff")
    assert "fct_readings: 6 deletes, 2 inserts" in said
    assert "2013-03: 3 deletes, 1 inserts" in said
    assert "agg_stations_daily" in said
    assert (made.digests(), made.publications) == (before, 1)
    left = "select * from candidate.fct_readings except select * from published.fct_readings"
    assert made.query(left) == []
    backfill(made, FIRST, LAST, "--chunk", "1d", "--stage", "--backwards")
    assert (made.digests(), made.publications) == (from_scratch("corrected"), 2)
    assert made.has_nothing_to_do()


def states_of_chunks(made: Checkout) -> list[str]:
    rows = made.query("select state from ops.backfill_chunk_states order by backfill_id, number")
    return [state for (state,) in rows]


def take_back_to(made: Checkout, publication: int) -> None:
    made.call("rollback", "--to", str(publication), "--reason", "a test")
