"""Computes the metrics at each scrape: one read-only connection, one snapshot, few queries.

Reads the ledger, and through `lateness` the contracts; writes nothing. A group that cannot be
computed is left out and says so in `airworthy_query_up`; without a warehouse, `airworthy_ledger_up`
is 0 and nothing else is known. Killed: nothing is left.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from psycopg.rows import dict_row

from orchestration import console, database
from orchestration.errors import AirworthyError
from orchestration.ingesting import contract_files
from orchestration.ingesting.deliveries import UNMATCHED
from orchestration.metrics.families import GROUPS, LATENESS, LEDGER_UP, QUERY_UP, Family
from orchestration.settings import Settings

Row = dict[str, Any]

_QUERIES = Path(__file__).parent / "queries"
_SOURCES = "%(sources)s"
_TIMEOUT = "5s"  # of a query; Prometheus gives up after ten


class LedgerCollector(Collector):
    """What the ledger says now, as Prometheus wants it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: database.Connection | None = None
        self._turn = threading.Lock()
        self._broken: dict[str, str] = {}

    def describe(self) -> Iterable[Metric]:
        """Nothing: else registering would ask the ledger."""
        return ()

    def collect(self) -> Iterator[Metric]:
        with self._turn:
            found = self._read()
        yield _metric(LEDGER_UP, [{LEDGER_UP.name: 0 if found is None else 1}])
        if found is None:
            return
        states = [{"query": name, QUERY_UP.name: int(name in found)} for name in GROUPS]
        yield _metric(QUERY_UP, states)
        for name, rows in found.items():
            yield from (_metric(family, rows) for family in GROUPS[name])

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read(self) -> dict[str, list[Row]] | None:
        """The rows of each group that could be computed; None if there is no warehouse."""
        try:
            self._connection = self._connection or _connect(self._settings)
            found: dict[str, list[Row]] = {}
            sources = {"sources": _sources(self._settings)}
            with self._connection.transaction():
                for name in GROUPS:
                    rows = self._group(self._connection, name, sources)
                    if rows is not None:
                        found[name] = rows
            self._heal("ledger")
            return found
        except (AirworthyError, psycopg.Error) as error:
            self._tell("ledger", error)
            self.close()
            return None

    def _group(
        self, connection: database.Connection, name: str, sources: dict[str, list[str]]
    ) -> list[Row] | None:
        try:
            with connection.transaction():
                if name == LATENESS:
                    rows = list(_lateness(self._settings, connection))
                else:
                    text = _text(name)
                    with connection.cursor(row_factory=dict_row) as cursor:
                        rows = cursor.execute(
                            text, sources if _SOURCES in text else None
                        ).fetchall()
            self._heal(name)
            return rows
        except psycopg.OperationalError as error:
            if not isinstance(error, psycopg.errors.QueryCanceled):
                raise
            self._tell(name, error)
        except (AirworthyError, psycopg.Error) as error:
            self._tell(name, error)
        return None

    def _tell(self, name: str, error: Exception) -> None:
        """Say what is wrong, once until it is something else."""
        said = str(error).strip().partition("\n")[0]
        if self._broken.get(name) != said:
            self._broken[name] = said
            console.say("metrics", f"{name}: {said}")

    def _heal(self, name: str) -> None:
        if self._broken.pop(name, None):
            console.say("metrics", f"{name}: it can be read again")


def _connect(settings: Settings) -> database.Connection:
    connection = database.connect(settings, name="metrics")
    connection.execute("set role airworthy_observer")
    connection.execute(f"set statement_timeout = '{_TIMEOUT}'")
    connection.read_only = True
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    return connection


@cache
def _text(name: str) -> str:
    return database.script(_QUERIES, name)


def _sources(settings: Settings) -> list[str]:
    """All that may deliver, and what stands for files of none of them."""
    known: list[str] = []
    # `lateness` says which contract is wrong; what was delivered is known all the same.
    with suppress(AirworthyError):
        known += contract_files.load_all(settings.project / "contracts")
    return [*known, UNMATCHED]


def _lateness(settings: Settings, connection: database.Connection) -> Iterator[Row]:
    """What was promised and is not there, by source and mart.

    Raises:
        UsageError: a contract cannot be read.
    """
    from orchestration.watching import lateness

    now = datetime.now(UTC)
    sources = lateness.of_sources(settings, connection, now)
    for source in sources:
        for state in ("due", "late", "missing"):
            yield {
                "source": source.source,
                "state": state,
                "airworthy_source_slices": len(source.having(state)),
            }
    for mart in lateness.of_marts(connection, sources, now):
        row: Row = {"mart": mart.mart}
        if mart.newest is not None:
            end = datetime.combine(mart.newest + timedelta(1), datetime.min.time(), UTC)
            row["airworthy_mart_freshness_seconds"] = max((now - end).total_seconds(), 0)
        if mart.changed_at is not None:
            row["airworthy_mart_changed_timestamp_seconds"] = mart.changed_at.timestamp()
        yield row
        for state in ("missed", "will miss"):
            wanted = sum(wanted.state == state for wanted in mart.wanted)
            yield {"mart": mart.mart, "state": state, "airworthy_mart_wanted_slices": wanted}


def _metric(family: Family, rows: Iterable[Row]) -> Metric:
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for row in rows:
        if row.get(family.name) is not None:
            labels = [str(row[label]) for label in family.labels]
            metric.add_metric(labels, float(row[family.name]))
    return metric
