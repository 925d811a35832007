"""Backfills that the gate blocks, that would mix old code and new, or that make no sense."""

from __future__ import annotations

from datetime import date, timedelta

from tests.backfill.test_chunks import backfill, states_of_chunks
from tests.faults.chunks import LAST
from tests.faults.converge import after
from tests.support import files
from tests.support.checkout import Checkout
from tests.support.files import DAY

SECOND = DAY + timedelta(1)


def test_a_blocked_chunk_stops_it_or_is_passed_by(due: Checkout) -> None:
    good = (files.reading(SECOND, hour) for hour in range(19))
    due.deliver([files.HEADER, *good, files.reading(SECOND, 19, temperature=130)], SECOND)
    due.call("ingest")
    said = backfill(due, DAY, LAST, "--chunk", "1d", code=3)
    assert "temperature_degrees" in said
    assert states_of_chunks(due) == ["published", "blocked", "waiting"]
    said = backfill(due, DAY, LAST, "--chunk", "1d", "--keep-going", code=3)
    assert "1 of 3 chunks were blocked: 2013-03-10" in said
    assert states_of_chunks(due) == ["published", "blocked", "published"]
    count = "select count(*) from {}.fct_readings"
    assert due.value(count.format("published")) == due.value(count.format("candidate"))
    delivery = due.value(
        "select max(delivery_id) from ops.deliveries where uri like 'readings/%03-10%'"
    )
    due.call("withdraw", "--delivery", str(delivery), "--reason", "a test")
    due.call("backfill", "--resume", "1", "--repin")
    assert due.digests() == after()
    assert due.has_nothing_to_do()


def test_changed_code_takes_all_of_the_history(published: Checkout) -> None:
    published.edit("models/marts/fct_readings.sql", ">= 10", ">= 3")
    before = published.digests()
    said = backfill(published, DAY, DAY, code=2)
    assert "would mix old code and new: the code of agg_" in said
    said = backfill(published, DAY, SECOND, "--models", "fct_readings", code=2)
    assert "would mix" in said
    assert published.digests() == before
    backfill(published, DAY, SECOND, "--chunk", "day")
    wet = "select count(*) from published.fct_readings where "
    assert published.value(wet + "is_wet") == published.value(wet + "rain_millimetres >= 3") > 0
    assert published.has_nothing_to_do()


def test_bad_input_changes_nothing(published: Checkout) -> None:
    bad: dict[str, tuple[date, date, tuple[str, ...]]] = {
        "lies before START": (SECOND, DAY, ()),
        "leaves the data, which goes from 2013-03-09 to": (date(2012, 1, 1), DAY, ()),
        "There is no model nothing": (DAY, SECOND, ("--models", "nothing")),
        "larger than the range, which has 2 days": (DAY, SECOND, ("--chunk", "week")),
        "cannot be 'decade'": (DAY, SECOND, ("--chunk", "decade")),
    }
    for expected, (first, last, options) in bad.items():
        said = backfill(published, first, last, *options, code=2)
        assert expected in said
        assert "\n    next  " in said
    assert published.value("select count(*) from ops.backfills") == 0
    assert published.value("select count(*) from ops.runs") == 2


def test_without_any_delivery_there_is_nothing_to_build(empty: Checkout) -> None:
    assert "Nothing was delivered yet" in backfill(empty, DAY, DAY, code=2)
