"""The page about everything, in a browser: wide and narrow, light and dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.browser import look
from tests.support.checkout import Checkout

_THREE_YEARS = Path(__file__).with_name("three_years.sql")


@pytest.mark.needs("chromium")
def test_an_empty_ledger_has_a_page(empty: Checkout) -> None:
    empty.call("report")
    (seen,) = look(empty.var / "reports/index.html", 390)
    assert seen.faults == []
    assert "Nothing is published yet" in seen.dom
    assert "Nothing needs a look" in seen.dom


@pytest.mark.needs("chromium")
def test_one_run_fills_the_page_and_hostile_text_stays_text(held_back: Checkout) -> None:
    told = held_back.step("account", 1)
    written = held_back.var / "reports/index.html"
    assert f"[{written.as_uri()}]({written.as_uri()})" in told
    for dark in (False, True):
        windows = look(written, 390, 1280, dark=dark)
        for seen, width in zip(windows, (390, 1280), strict=True):
            assert (seen.width, seen.is_dark, seen.faults) == (width, dark, [])
    inserted = held_back.value("select sum(inserted) from ops.publication_changes")
    assert inserted > 72
    for word in (
        "Rejected files that wait: 1.", "&lt;b&gt;", "agg_stations_daily", "checks met",
        "Sat 2013-03-09: in time", "Sun 2013-03-10: held back", "What is held back",
        f"publication 1: {inserted} rows inserted",
    ):  # fmt: skip
        assert word in seen.dom
    assert "<script>alert" not in seen.dom
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", seen.dom)


def test_people_are_sent_where_the_pages_are_shown(empty: Checkout) -> None:
    elsewhere = "https://reports.example.com/ours/"
    link = "https://reports.example.com/ours/index.html"
    assert f"open {link}\n" in empty.call("report", REPORTS_URL=elsewhere)
    assert empty.step("report", REPORTS_URL=elsewhere) == link
    assert f"({link})" in empty.step("report_link", REPORTS_URL=elsewhere)


@pytest.mark.needs("chromium")
def test_three_years_of_daily_runs_fit_on_a_page(flights: Checkout) -> None:
    flights.execute(_THREE_YEARS.read_text())
    _go_on_promising(flights)
    flights.call("report")
    written = flights.var / "reports/index.html"
    assert written.stat().st_size < 700_000
    (seen,) = look(written, 390, dark=True)
    assert seen.faults == []
    for word in ("in time", "late", "missing", "held back", "2 missing", "A mart &lt;waits&gt;"):
        assert word in seen.dom
    assert re.search(r"\d+\.\d h late", seen.dom)
    assert "flights is late" not in seen.dom
    assert "Publishing is held by ada: last year looks odd" in seen.dom
    assert "The gate blocks run 1095." in seen.dom


def test_a_page_that_cannot_be_written_fails_no_run(empty: Checkout) -> None:
    (empty.var / "reports").write_text("in the way")
    assert empty.step("report").startswith("not written: FileExistsError")


def _go_on_promising(made: Checkout) -> None:
    """Let no contract end, as those of a year that is over do."""
    for path in (made.project / "contracts").glob("*.yml"):
        text = re.sub(r"  - property: endOfLife.*\n(    .*\n)+", "", path.read_text())
        path.write_text(text)
