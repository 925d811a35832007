"""Back to a retained publication and on again; what is kept for it, and what is not.

Three publications: a day; a second one; the first one corrected.
"""

from __future__ import annotations

import json
from datetime import date

import pytest

from tests.support.checkout import Checkout, Digests
from tests.support.files import DAY

SECOND, THIRD = date(2013, 3, 10), date(2013, 3, 11)


@pytest.fixture
def made(three_publications: Checkout) -> Checkout:
    return three_publications


@pytest.fixture
def states(made: Checkout) -> dict[int, Digests]:
    """What each publication held, as it was then."""
    found = json.loads((made.var / "digests.json").read_text())
    assert found[0] != found[1] != found[2] != found[0]
    return {
        number: {mart: (rows, digest) for mart, (rows, digest) in state.items()}
        for number, state in enumerate(found, 1)
    }


def rows_by_date(made: Checkout) -> list[tuple[date, int]]:
    query = "select reading_date, count(*) from published.fct_readings group by 1 order by 1"
    return [(day, count) for day, count in made.query(query)]


def roll_back(made: Checkout, to: int | None, reason: str, code: int = 0) -> str:
    number = [] if to is None else ["--to", str(to)]
    return made.call("rollback", *number, "--reason", reason, code=code)


def resume(made: Checkout, reason: str, code: int = 0) -> str:
    return made.call("resume", "--reason", reason, code=code)


def collect(made: Checkout) -> str:
    """Forget all but the newest publication."""
    return made.call("gc", RETAIN_PUBLICATIONS="1", RETAIN_DAYS="0")


def runs_without_publishing(made: Checkout, reason: str) -> None:
    """A run builds and gates; it is neither published nor done twice."""
    before = made.value("select max(run_id) from ops.runs"), made.publications, made.digests()
    said = made.call("run")
    assert f"by tester: {reason}" in said
    (this,) = made.query("select run_id, state from ops.runs order by run_id desc limit 1")
    assert this == (before[0] + 1, "passed")
    assert reason in made.call("publish", code=1)
    made.call("run")
    after = made.value("select max(run_id) from ops.runs"), made.publications, made.digests()
    assert after == (before[0] + 1, *before[1:])


def test_rollback_restores_the_digests_and_holds_until_somebody_resumes(
    made: Checkout, states: dict[int, Digests]
) -> None:
    made.land(THIRD)
    for to in (1, 2):
        said = roll_back(made, to, f"a test of {to}")
        assert "publish nothing until `make resume" in said
        assert made.digests() == states[to]
        held = made.query("select reason, set_by from ops.holds where lifted_at is null")
        assert held == [("a test of 1", "tester")], "the first reason stands until somebody resumes"
        runs_without_publishing(made, "a test of 1")
        assert made.digests() == states[to]
    # Back and forth; then on, as if nothing had been.
    roll_back(made, 3, "forth")
    assert made.digests() == states[3]
    assert "lifted (a test of 1)" in resume(made, "mended")
    made.call("run")
    assert made.publications == 7
    assert rows_by_date(made) == [(DAY, 71), (SECOND, 72), (THIRD, 72)]


def test_after_a_rollback_the_next_run_brings_all_of_it_again(
    made: Checkout, states: dict[int, Digests]
) -> None:
    roll_back(made, None, "a test")
    assert made.digests() == states[2]
    resume(made, "it was right after all")
    made.call("run")
    assert made.publications == 5
    assert made.digests() == states[3]
    assert made.has_nothing_to_do()


def test_the_difference_shows_old_beside_new(made: Checkout) -> None:
    said = made.call("diff", "--publication", "3", "--most", "5")
    assert "fct_readings: 2 deletes, 1 inserts, 1 updates" in said
    assert "agg_stations_daily: 2 updates" in said
    assert "dim_stations" not in said
    updates = said[said.index("agg_stations_daily") : said.index("fct_readings:")]
    assert "reading_count: 24 -> 23" in updates
    assert "rain_millimetres: 0 -> 7" in said
    listed = [line.split() for line in made.call("history").splitlines()]
    assert [line[0] for line in listed if line and line[0].isdigit()] == ["3", "2", "1"]


def test_gc_keeps_what_retained_publications_need_and_nothing_else(
    made: Checkout, states: dict[int, Digests]
) -> None:
    said = collect(made)
    assert "2 publications forgotten; 72 raw rows of 1 deliveries removed" in said
    assert made.digests() == states[3]
    assert "not retained" in roll_back(made, 1, "too late", code=2)
    assert "not retained" in made.call("diff", "--publication", "1", "--most", "5", code=2)
    roll_back(made, 2, "just in time")
    assert made.digests() == states[2]
    assert " 0 raw rows " in collect(made)


def test_there_is_nothing_to_go_back_to(made: Checkout, states: dict[int, Digests]) -> None:
    for to in (0, 3, 99):
        assert f"no publication {to} " in roll_back(made, to, "a test", code=2)
        assert made.digests() == states[3]
    assert "Nothing is held" in resume(made, "a test", code=2)


def test_a_delivery_that_gc_emptied_does_not_come_back(made: Checkout) -> None:
    collect(made)
    query = "select max(delivery_id) from ops.deliveries where source = 'readings'"
    newest = made.value(query)
    made.call("withdraw", "--delivery", str(newest), "--reason", "a test")
    made.call("run")
    assert rows_by_date(made) == [(SECOND, 72)], "the first day falls back to no rows at all"
