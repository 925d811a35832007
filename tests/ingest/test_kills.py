"""A loader that is killed leaves whole deliveries, and the next one goes on with the rest."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from tests.ingest.given import contract, count, land, outcomes, sale, wide_sales
from tests.support.checkout import Checkout
from tests.support.commands import Process
from tests.support.points import await_while_running, kill_at, quiet, stop_at

FILES = 12
# Bytes of a file: all in one transaction, some in each, each in one of its own.
SIZES = {"tiny": 0, "small": 900_000, "large": 1_200_000}
# What a transaction writes, first to last.
TABLES = ("raw.sales", "quarantine.sales", "ops.deliveries")


@pytest.mark.parametrize("size", SIZES)
def test_a_loader_killed_at_any_moment_leaves_whole_deliveries(empty: Checkout, size: str) -> None:
    contract(empty)
    empty.call("ingest", code=2)  # which makes the tables, and finds nothing
    received = 0
    for n in range(1, FILES + 1):
        lines = [*wide_sales(SIZES[size], f"file {n}"), sale(-1), sale(-2, amount=-1)]
        received += len(lines)
        land(empty, f"sales/2026-01-{n:02}.csv", *lines)
    for table in TABLES:
        kill_at(empty, stop_at(empty, table), "ingest")
        assert outcomes(empty) == []
        _require_whole_deliveries(empty)
    chance = random.Random(7)
    for moment in (chance.random() * 0.4 for _ in range(3)):
        process = empty.start("ingest")
        time.sleep(moment)  # no wait: any moment will do
        _kill(empty, process)
        _require_whole_deliveries(empty)
    if size != "tiny":
        _kill_after_some(empty)
        _require_whole_deliveries(empty)
    empty.call("ingest")
    _require_whole_deliveries(empty)
    assert [outcome for outcome, *_ in outcomes(empty)] == ["loaded"] * FILES
    assert count(empty, "raw.sales") == received - FILES
    assert count(empty, "quarantine.sales") == FILES


def _kill(made: Checkout, process: Process) -> None:
    """Kill it, unless it has just ended by itself."""
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() in (0, -signal.SIGKILL), process.said
    quiet(made)


def _kill_after_some(made: Checkout) -> None:
    """Kill it as soon as it has committed something."""
    before = count(made, "ops.deliveries")
    process = made.start("ingest")
    with made.connect() as connection:
        query = "select count(*) > %s from ops.deliveries"

        def is_further() -> bool:
            return connection.execute(query, [min(before, FILES - 1)]).fetchone() == (True,)

        await_while_running(is_further, process)
    _kill(made, process)


def _require_whole_deliveries(made: Checkout) -> None:
    """What the ledger says of a delivery is there, and nothing else is."""
    for table, column, what in (
        ("raw.sales", "_delivery_id", "rows_loaded"),
        ("quarantine.sales", "delivery_id", "rows_quarantined"),
    ):
        broken = made.query(
            f"select * from ops.deliveries full join (select {column} as delivery_id,"
            f" count(*) as rows from {table} group by 1) as found using (delivery_id)"
            f" where {what} is distinct from found.rows"
        )
        assert broken == []
