"""How long a reader waits while a mart is published in another shape, and while it is not."""

from __future__ import annotations

import statistics
import threading
import time
from contextlib import contextmanager
from typing import Any

import psycopg

from benchmarks.__main__ import write
from benchmarks.readers import publish_candidate
from orchestration import database
from orchestration.settings import Settings

_ROWS = 1_000_000
_REPETITIONS = 5
_MART = "shaped"
# What becomes of the candidate before it is published, and back.
_CHANGES = {
    "a tenth of the rows changes": (
        "update candidate.shaped set number = number + 1 where id % 10 = 0", ""
    ),
    "an index more": (
        "create index added on candidate.shaped (number)", "drop index candidate.added"
    ),
    "a check more": (
        "alter table candidate.shaped add constraint added check (number > -1)",
        "alter table candidate.shaped drop constraint added",
    ),
    "a column more, with a value in each row": (
        (
            "alter table candidate.shaped add column added_{n} bigint;"
            "update candidate.shaped set added_{n} = id"
        ), ""
    ),
}  # fmt: skip


class _Reader(threading.Thread):
    """Asks for one row over and over; `longest` is how long an answer took at most, in seconds."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self._dsn, self._over, self.longest = dsn, threading.Event(), 0.0

    def run(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not self._over.is_set():
                started = time.perf_counter()
                connection.execute(f"select number from published.{_MART} where id = 10")
                self.longest = max(self.longest, time.perf_counter() - started)
                time.sleep(0.001)

    def stop(self) -> float:
        self._over.set()
        self.join()
        return self.longest


def measure(settings: Settings) -> None:
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in _CHANGES}
    with database.connect(settings, name="bench") as connection:
        connection.execute(
            f"create table candidate.{_MART} (id integer primary key, number bigint not null);"
            f"insert into candidate.{_MART} select n, 0 from generate_series(1, {_ROWS}) as n"
        )
        publish_candidate(connection, [_MART])
        for n in range(_REPETITIONS):
            for name, (change, back) in _CHANGES.items():
                connection.execute(change.format(n=n))
                taken[name].append(_publish(settings, connection))
                if back:
                    connection.execute(back)
                    publish_candidate(connection, [_MART])
    rows = "\n".join(
        f"| {name} | {_say([whole for whole, _ in pairs])} | {_say([wait for _, wait in pairs])} |"
        for name, pairs in taken.items()
    )
    write(
        "shapes",
        "Readers of a mart that changes its shape",
        f"One mart of {_ROWS:,} rows; a reader asks for one row by its key without pause."
        f" Median and range of {_REPETITIONS} publications, in turn, in seconds.\n\n"
        "| what is published | the publication | the reader's longest wait |\n|---|---|---|\n"
        f"{rows}",
    )


def _publish(settings: Settings, connection: psycopg.Connection[Any]) -> tuple[float, float]:
    with _reading(settings) as reader:
        started = time.perf_counter()
        publish_candidate(connection, [_MART])
        whole = time.perf_counter() - started
    return whole, reader.longest


@contextmanager
def _reading(settings: Settings) -> Any:
    reader = _Reader(database.dsn(database.address(settings)))
    reader.start()
    try:
        yield reader
    finally:
        reader.stop()


def _say(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
