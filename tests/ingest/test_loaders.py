"""Several loaders at once."""

from __future__ import annotations

import random
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from tests.ingest.given import contract, count, land, outcomes, wide_sales
from tests.support import files
from tests.support.checkout import Checkout
from tests.support.files import DAY
from tests.support.patience import until
from tests.support.points import stop_at

LOADERS, ROUNDS = 6, 25


def test_ids_grow_in_commit_order_with_loaders_in_parallel(empty: Checkout) -> None:
    """Whoever pins the newest visible id must never see a smaller one appear afterwards."""
    done = threading.Event()
    seen: list[set[int]] = []

    def watch() -> None:
        with empty.connect() as mine:
            while not done.is_set():
                ids = mine.execute("select delivery_id from ops.deliveries").fetchall()
                seen.append({n for (n,) in ids})

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with ThreadPoolExecutor(LOADERS) as pool:
            list(pool.map(lambda number: _take_ids(empty, number), range(LOADERS)))
    finally:
        done.set()
        watcher.join()
    final = {n for (n,) in empty.query("select delivery_id from ops.deliveries")}
    assert len(final) == LOADERS * ROUNDS * 2
    for visible in seen:
        pinned = max(visible, default=0)
        assert visible == {n for n in final if n <= pinned}, "a smaller id appeared afterwards"


def _take_ids(made: Checkout, number: int) -> None:
    """Be a loader that records two deliveries in each transaction."""
    with made.connect() as mine:
        for _ in range(ROUNDS):
            with mine.transaction():
                row = mine.execute("select ops.take_delivery_ids(2)").fetchone()
                assert row
                time.sleep(random.random() * 0.01)  # no wait: their order shall change
                for n in (0, 1):
                    mine.execute(
                        "insert into ops.deliveries (delivery_id, source, uri, file_version,"
                        " size_bytes, outcome, reason, started_at)"
                        " values (%s, 'x', %s::text, '', 0, 'rejected', 'x', now())",
                        [row[0] + n, f"{number}/{row[0] + n}"],
                    )
                mine.execute("select ops.await_earlier_deliveries(%s)", [row[0]])


def test_loaders_at_once_load_every_file_once(empty: Checkout) -> None:
    """All of them have listed the same files before the first one loads any."""
    contract(empty)
    for n in range(28):
        day = DAY + timedelta(n)
        empty.deliver(files.readings(day, hours=40), day)
    large = [wide_sales(1_200_000, f"file {n}") for n in range(4)]
    for n, lines in enumerate(large):
        land(empty, f"sales/2026-01-0{n + 1}.csv", *lines)
    with stop_at(empty, "ops.deliveries") as point:
        loaders = [empty.start("ingest") for _ in range(3)]
        until(lambda: _waiting(empty) == 3, otherwise=lambda: [one.said for one in loaders])
        point.release()
        assert [one.wait() for one in loaders] == [0, 0, 0]
    said = [re.findall(r"(\d+) deliveries loaded", one.said) for one in loaders]
    assert sum(int(taken) for found in said for taken in found) == 32
    assert [outcome for outcome, *_ in outcomes(empty)] == ["loaded"] * 32
    distinct = "select count(*), count(distinct (station, read_at, _slice_date)) from raw.readings"
    assert empty.query(distinct) == [(28 * 120, 28 * 120)]
    assert count(empty, "raw.sales") == sum(map(len, large))


def _waiting(made: Checkout) -> int:
    """How many loaders wait for a lock."""
    query = (
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        " and application_name = 'airworthy main' and datname = current_database()"
    )
    return int(made.value(query))
