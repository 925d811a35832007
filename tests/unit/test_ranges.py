from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.backfills.ranges import ROWS_PER_CHUNK, Range, gaps, merge, split
from orchestration.errors import UsageError

YEAR = Range(date(2013, 1, 1), date(2013, 12, 31))
DATES = st.dates(date(2012, 1, 1), date(2014, 12, 31))


@given(DATES, DATES, st.sampled_from(["auto", "day", "week", "month", "5d"]), st.integers(0, 10**6))
def test_chunks_are_the_range_without_gap_or_overlap(
    one: date, other: date, chunk: str, rows: int
) -> None:
    whole = Range(min(one, other), max(one, other) + timedelta(31))
    chunks = split(whole, chunk, dict.fromkeys(whole.dates, rows))
    assert merge(day for part in chunks for day in part.dates) == [whole]
    assert sum(part.days for part in chunks) == whole.days
    assert chunks == sorted(chunks)


def test_months_and_weeks_are_those_of_the_calendar() -> None:
    part = Range(date(2013, 1, 30), date(2013, 3, 1))
    assert [str(c) for c in split(part, "month", {})] == [
        "2013-01-30 to 2013-01-31", "2013-02-01 to 2013-02-28", "2013-03-01"
    ]  # fmt: skip
    assert [str(c) for c in split(part, "week", {})][:2] == [
        "2013-01-30 to 2013-02-03", "2013-02-04 to 2013-02-10"
    ]  # fmt: skip


def test_auto_takes_one_chunk_for_few_rows_and_equal_parts_for_many() -> None:
    assert split(YEAR, "auto", dict.fromkeys(YEAR.dates, 1000)) == [YEAR]
    ten = Range(date(2013, 1, 1), date(2022, 12, 31))
    chunks = split(ten, "auto", dict.fromkeys(ten.dates, 1000))
    assert len(chunks) == 4
    assert all(chunk.first.day == 1 for chunk in chunks)
    assert all(0.8 < chunk.days * 4 / ten.days < 1.2 for chunk in chunks)
    dense = split(Range(date(2013, 1, 1), date(2013, 1, 31)), "auto",
                  dict.fromkeys(YEAR.dates, ROWS_PER_CHUNK))  # fmt: skip
    assert len(dense) == 31


@pytest.mark.parametrize("chunk", ["", "decade", "0d", "-1d", "1.5d"])
def test_an_unknown_chunk_is_refused(chunk: str) -> None:
    with pytest.raises(UsageError, match="cannot be"):
        split(YEAR, chunk, {})


@pytest.mark.parametrize("chunk", ["week", "month", "4d"])
def test_a_chunk_larger_than_the_range_is_refused(chunk: str) -> None:
    with pytest.raises(UsageError, match="larger than the range, which has 3 days"):
        split(Range(date(2013, 1, 1), date(2013, 1, 3)), chunk, {})


def test_gaps_are_named_by_source_as_ranges() -> None:
    part = Range(date(2013, 1, 1), date(2013, 1, 10))
    missing = {date(2013, 1, 2), date(2013, 1, 5), date(2013, 1, 6)}
    found = gaps(part, {"flights": part.dates - missing, "weather": YEAR.dates})
    assert found == {
        "flights": [
            Range(date(2013, 1, 2), date(2013, 1, 2)), Range(date(2013, 1, 5), date(2013, 1, 6))
        ]
    }  # fmt: skip
