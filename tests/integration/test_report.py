from __future__ import annotations

from datetime import date

import pytest

from orchestration.publishing import report
from orchestration.run import run
from orchestration.settings import Settings
from orchestration.warehouse_server import warehouse
from tests.browser import look
from tests.flights import HEADER, land_days, landed, row, write


@pytest.mark.needs("chromium")
def test_the_page_opens_in_a_browser_and_shows_hostile_text_as_text(
    empty_warehouse: Settings,
) -> None:
    land_days(empty_warehouse, date(2013, 3, 9))
    rows = [row(flight=n) for n in range(1, 31)]
    hostile = row(tailnum="<script>document.title='broken'</script>")
    write(landed(empty_warehouse, "flights", date(2013, 1, 1)), [HEADER, *rows, hostile])
    with warehouse.ready(empty_warehouse) as connection:
        run(empty_warehouse, connection)
        found = report.collect(connection, findings=True)
        assert found
        page = report.write(empty_warehouse, found)
    (seen,) = look(page, 390, dark=True)
    assert seen.faults == []
    dom = seen.dom
    assert "<title>Publication 1 · Airworthy</title>" in dom
    assert "&lt;script&gt;document.title" in dom
    for word in ("published.fct_flights", "What was held back", "Every expectation"):
        assert word in dom
