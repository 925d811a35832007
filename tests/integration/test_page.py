"""The page about everything, in a browser: wide and narrow, light and dark."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from orchestration import database, pages
from orchestration.overview import page
from orchestration.publishing.account import account
from orchestration.run import run
from orchestration.settings import Settings
from orchestration.warehouse_server import warehouse
from tests.browser import look
from tests.conftest import PROJECT
from tests.flights import HEADER, land_days, landed, row, write

_HERE = Path(__file__).parent


@pytest.mark.needs("chromium")
def test_an_empty_ledger_has_a_page(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    (seen,) = look(page.write(empty_warehouse, connection), 390)
    assert seen.faults == []
    assert "Nothing is published yet" in seen.dom
    assert "Nothing needs a look" in seen.dom


@pytest.mark.needs("chromium")
def test_one_run_fills_the_page_and_hostile_text_stays_text(
    empty_warehouse: Settings,
) -> None:
    given = empty_warehouse
    land_days(given, date(2013, 3, 9))
    rows = [row(flight=n) for n in range(1, 31)]
    write(
        landed(given, "flights", date(2013, 1, 1)), [HEADER, *rows, row(origin="<script>alert()")]
    )
    write(landed(given, "flights", date(2013, 1, 2)), ["<b>,b", "1,2"])
    with warehouse.ready(given) as connection:
        run(given, connection)
        told = account(given, connection, 1)
        written = pages.overview_path(given)
        assert f"[{written.as_uri()}]({written.as_uri()})" in told
        for dark in (False, True):
            windows = look(written, 390, 1280, dark=dark)
            for seen, width in zip(windows, (390, 1280), strict=True):
                assert (seen.width, seen.is_dark, seen.faults) == (width, dark, [])
    for word in (
        "Rejected files that wait: 1.", "&lt;b&gt;", "fct_weather_observations", "checks met",
        "Sat 2013-03-09: in time", "publication 1: 16,908 rows inserted", "What is held back",
    ):  # fmt: skip
        assert word in seen.dom
    assert "<script>alert" not in seen.dom
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", seen.dom)
    elsewhere = replace(given, reports_url="https://reports.example.com/ours/")
    assert pages.overview_link(elsewhere) == "https://reports.example.com/ours/index.html"


@pytest.mark.needs("chromium")
def test_three_years_of_daily_runs_fit_on_a_page(
    empty_warehouse: Settings, connection: database.Connection, tmp_path: Path
) -> None:
    connection.execute((_HERE / "three_years.sql").read_text())
    connection.execute(
        "insert into ops.alerts (key, origin, severity, owner, what, since, impact, runbook, look)"
        " values ('k', 'test', 'page', 'team', 'A mart <waits>', now(), '', '', 'make status')"
    )
    given = replace(empty_warehouse, project=_open_ended(tmp_path / "project"))
    noon = datetime.combine(datetime.now(UTC).date(), datetime.min.time(), UTC) + timedelta(
        hours=12
    )
    written = page.write(given, connection, noon)
    assert written.stat().st_size < 700_000
    (seen,) = look(written, 390, dark=True)
    assert seen.faults == []
    for word in ("in time", "late", "missing", "held back", "2 missing", "A mart &lt;waits&gt;"):
        assert word in seen.dom
    assert re.search(r"\d+\.\d h late", seen.dom)
    assert "flights is late" not in seen.dom
    assert "Publishing is held by ada: last year looks odd" in seen.dom
    assert "The gate blocks run 1095." in seen.dom


def test_a_page_that_cannot_be_written_fails_no_run(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    empty_warehouse.var.mkdir(parents=True, exist_ok=True)
    (empty_warehouse.var / "reports").write_text("in the way")
    assert page.refresh(empty_warehouse, connection).startswith("not written: FileExistsError")


def _open_ended(folder: Path) -> Path:
    """A project whose contracts go on promising."""
    (folder / "contracts").mkdir(parents=True)
    for path in (PROJECT / "contracts").glob("*.yml"):
        text = re.sub(r"  - property: endOfLife.*\n(    .*\n)+", "", path.read_text())
        (folder / "contracts" / path.name).write_text(text)
    return folder
