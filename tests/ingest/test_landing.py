"""Where files land, and who else is there: files that grow, vanish or change meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.ingest.given import HEADER, contract, count, land, outcomes, rows, sale, wide_sales
from tests.support import files
from tests.support.checkout import Checkout
from tests.support.files import DAY
from tests.support.patience import until
from tests.support.points import is_waiting, stop_at

LARGE = 3 * 2**19


def test_a_file_that_is_still_growing_is_left_for_later(empty: Checkout) -> None:
    """One that is as young and does not grow is taken in, once it has settled."""
    path = empty.deliver(files.readings())
    empty.land(DAY + timedelta(1))
    empty.path("readings", DAY + timedelta(1)).touch()
    old = path.stat().st_mtime
    stop = threading.Event()

    def grow() -> None:
        with path.open("ab") as file:
            while not stop.wait(0.02):
                file.write(b"x")
                file.flush()

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        until(lambda: path.stat().st_mtime > old)
        said = empty.call("ingest", SETTLE_SECONDS="1")
    finally:
        stop.set()
        writer.join()
    assert f"{files.path_of('readings', DAY)}: still being written; left for later" in said
    assert empty.query("select slice_date from ops.deliveries") == [(DAY + timedelta(1),)]
    empty.land(DAY)
    empty.call("ingest", SETTLE_SECONDS="1")
    assert outcomes(empty) == [("loaded", 72, 0)] * 2


def test_a_file_that_vanishes_or_changes_between_listing_and_opening_is_no_error(
    empty: Checkout,
) -> None:
    contract(empty)
    empty.land(DAY)  # readings go first
    days = [f"sales/2026-01-0{n}.csv" for n in range(1, 5)]
    for n, path in enumerate(days):
        land(empty, path, sale(n))
    with stop_at(empty, "ops.deliveries") as point:
        process = empty.start("ingest")
        point.reached(process)
        (empty.landing / days[1]).unlink()
        land(empty, days[2], sale(2), sale(3, "b"))
        point.release()
        assert process.wait() == 0, process.said
    for path in days[1:3]:
        assert f"{path}: changed while it was read; left for later" in process.said
    loaded = "select uri from ops.deliveries where source = 'sales' order by delivery_id"
    assert empty.query(loaded) == [(days[0],), (days[3],)]
    empty.call("ingest")
    assert outcomes(empty)[-1] == ("loaded", 2, 0)
    assert rows(empty, "id, name")[-2:] == [(2, "a"), (3, "b")]


def _replace(path: Path) -> None:
    files.write(path, path.read_bytes() + f"{sale(-1)}\n".encode())


def _append(path: Path) -> None:
    with path.open("a") as file:
        file.write(f"{sale(-1)}\n")


@pytest.mark.parametrize("change", [_replace, _append])
def test_a_file_that_changes_while_it_is_read_is_not_loaded_half(
    empty: Checkout, change: Callable[[Path], None]
) -> None:
    contract(empty)
    land(empty, "sales/2025-12-31.csv", sale(0))
    empty.call("ingest")  # which makes the table that is held now
    large = wide_sales(LARGE, "first")
    path = land(empty, "sales/2026-01-01.csv", *large)
    with empty.locked("raw.sales"):
        process = empty.start("ingest")
        until(lambda: is_waiting(empty), otherwise=lambda: process.said)
        change(path)
    assert process.wait() == 0, process.said
    assert "sales/2026-01-01.csv: changed while it was read; left for later" in process.said
    assert (outcomes(empty), count(empty, "raw.sales")) == ([("loaded", 1, 0)], 1)
    empty.call("ingest")
    assert outcomes(empty)[1:] == [("loaded", len(large) + 1, 0)]
    assert count(empty, "raw.sales") == 1 + len(large) + 1


def test_a_key_that_repeats_far_apart_in_a_large_file_is_found_without_doubt(
    empty: Checkout,
) -> None:
    key = "      - {name: day, logicalType: string, primaryKey: true, primaryKeyPosition: 2}"
    contract(empty, more=key)
    lines = [f"{sale(n % 1000, 'x' * 60)},{n // 1000:02}" for n in range(60_000)]
    lines[-1] = lines[5]
    land(empty, "sales/2026-01-01.csv", *lines, header=f"{HEADER},day")
    empty.call("ingest")
    assert outcomes(empty) == [("loaded", len(lines) - 1, 1)]
    assert empty.query("select line, reasons from quarantine.sales") == [
        (len(lines) + 1, ["id, day: the same key as an earlier row"])
    ]
    assert empty.query("select distinct _slice_date from raw.sales") == [(date(2026, 1, 1),)]
