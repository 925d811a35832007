"""The page of a publication, in a browser."""

from __future__ import annotations

import pytest

from tests.support.browser import look
from tests.support.checkout import Checkout


@pytest.mark.needs("chromium")
def test_the_page_of_a_publication_shows_hostile_text_as_text(held_back: Checkout) -> None:
    (seen,) = look(held_back.var / "reports/publication-1.html", 390, dark=True)
    assert seen.faults == []
    dom = seen.dom
    assert "<title>Publication 1 · Airworthy</title>" in dom
    assert "&lt;script&gt;document.title" in dom
    for word in ("published.fct_readings", "What was held back", "Every expectation"):
        assert word in dom


@pytest.mark.needs("chromium")
def test_the_page_of_all_real_marts_fits_a_phone(published_flights: Checkout) -> None:
    (seen,) = look(published_flights.var / "reports/publication-1.html", 390, dark=True)
    assert seen.faults == []
    for word in ("published.fct_flights", "Every expectation"):
        assert word in seen.dom
