"""Readers of five marts while a thousand publications go by: ours, and what others do.

Each publication writes one number into every row of five marts. A reader joins the five and looks
whether it sees one number (a whole publication) or several (a torn read).
"""

from __future__ import annotations

import multiprocessing
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from typing import Any

import psycopg

from benchmarks.__main__ import write
from orchestration import database
from orchestration.settings import Settings

MARTS = tuple(f"probe_{n}" for n in range(1, 6))
_ROWS = 50
_PROBE = (
    "select array_agg(distinct concat_ws('.', m1.number, m2.number, m3.number, m4.number,"
    " m5.number)) from {0}.probe_1 as m1 join {0}.probe_2 as m2 using (id)"
    " join {0}.probe_3 as m3 using (id) join {0}.probe_4 as m4 using (id)"
    " join {0}.probe_5 as m5 using (id)"
)
Publish = Callable[[psycopg.Connection[Any], int], object]


@dataclass
class Seen:
    """What all readers met together."""

    publications: int = 0
    probes: int = 0
    torn: int = 0
    waits: int = 0
    longest_wait_ms: float = 0
    errors: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.milliseconds, n=100)[98]


def set_up(connection: psycopg.Connection[Any]) -> None:
    """Five candidates of `_ROWS` rows, published once."""
    for mart in MARTS:
        connection.execute(
            f"create table candidate.{mart} (id integer primary key, number bigint not null);"
            f"insert into candidate.{mart} select n, 0 from generate_series(1, {_ROWS}) as n"
        )
    publish(connection, 0)


def publish(connection: psycopg.Connection[Any], number: int) -> None:
    """Our way, with a run and a verdict as the steps would leave them."""
    for mart in MARTS:
        connection.execute(f"update candidate.{mart} set number = %s", [number])
    publish_candidate(connection, MARTS)


def publish_candidate(connection: psycopg.Connection[Any], marts: Iterable[str]) -> None:
    """Publish what stands in the candidate, as if a run had built it and the gate passed it."""
    run = connection.execute(
        "insert into ops.runs (kind, runner, requested_by, as_of, code_version, state)"
        " values ('code', 'shell', 'bench', 1, 'bench', 'passed') returning run_id, token"
    ).fetchone()
    assert run
    connection.execute(
        "insert into ops.run_nodes (run_id, unique_id, resource_type, name, is_mart)"
        " select %s, name, 'model', name, true from unnest(%s::text[]) as name",
        [run[0], list(marts)],
    )
    connection.execute(
        "insert into ops.verdicts select %s, true, ops.candidate_digest(%s)", [run[0], run[0]]
    )
    connection.execute("select ops.publish(%s, %s)", run)


def play(
    dsn: str,
    schema: str,
    publish: Publish | None,
    publications: int,
    probes: int,
    *,
    thinks: float = 0,
    every: float = 0,
) -> Seen:
    """Four readers, two of each isolation level, until both numbers are reached.

    Args:
        publish: None for idle readers.
        thinks: seconds that a reader takes between two transactions.
        every: least seconds from one publication to the next.
    """
    context = multiprocessing.get_context("spawn")
    counts = [context.Value("q", 0) for _ in range(4)]
    stop, results, seen = context.Event(), context.Queue(), Seen()
    readers = [
        context.Process(target=_read, args=(dsn, schema, n % 2 == 1, thinks, count, stop, results))
        for n, count in enumerate(counts)
    ]
    for reader in readers:
        reader.start()
    watching = threading.Event()
    watch = threading.Thread(target=_watch, args=(dsn, watching, seen))
    with psycopg.connect(dsn, autocommit=True) as connection:
        while any(count.value == 0 for count in counts):
            time.sleep(0.05)
        watch.start()
        while seen.publications < publications or sum(c.value for c in counts) < probes:
            if publish is None:
                seen.publications = publications
                time.sleep(0.05)
            else:
                due = time.perf_counter() + every
                seen.publications += 1
                publish(connection, seen.publications)
                time.sleep(max(0.0, due - time.perf_counter()))
    stop.set()
    for _ in readers:
        mine = results.get(timeout=60)
        seen.probes += mine.probes
        seen.torn += mine.torn
        seen.errors += mine.errors
        seen.milliseconds += mine.milliseconds
    for reader in readers:
        reader.join()
    watching.set()
    watch.join()
    return seen


def _read(
    dsn: str, schema: str, repeatable: bool, thinks: float, count: Any, stop: Event, results: Any
) -> None:
    seen, query = Seen(), _PROBE.format(schema)
    level = psycopg.IsolationLevel.REPEATABLE_READ if repeatable else None
    with psycopg.connect(dsn, application_name="airworthy reader") as connection:
        connection.isolation_level = level
        while not stop.is_set():
            # A repeatable reader asks several times in one transaction and wants one answer.
            answers: set[str] = set()
            for _ in range(4):
                started = time.perf_counter()
                try:
                    row = connection.execute(query).fetchone()
                    found = set(row[0] or ["nothing"]) if row else {"nothing"}
                    answers = answers | found if repeatable else found
                except psycopg.Error as error:
                    seen.errors[type(error).__name__] += 1
                    connection.rollback()
                    answers = set()
                    continue
                seen.milliseconds.append((time.perf_counter() - started) * 1000)
                whole = len(answers) == 1 and len(set(next(iter(answers)).split("."))) == 1
                seen.torn += not whole
                if not repeatable:
                    connection.commit()
            connection.commit()
            seen.probes += 4
            count.value = seen.probes
            time.sleep(thinks)
    results.put(seen)


def _watch(dsn: str, done: threading.Event, seen: Seen) -> None:
    """Look for readers that wait for a lock, as often as possible."""
    query = (
        "select extract(epoch from clock_timestamp() - waitstart) * 1000 from pg_locks"
        " inner join pg_stat_activity using (pid)"
        " where not granted and waitstart is not null and application_name = 'airworthy reader'"
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        while not done.is_set():
            for (milliseconds,) in connection.execute(query):
                if milliseconds > 1:
                    seen.waits += 1
                    seen.longest_wait_ms = max(seen.longest_wait_ms, float(milliseconds))
            time.sleep(0.001)


def _made(table: str, mart: str, number: int) -> str:
    """The statement that makes `table` from the mart's candidate, with `number` in every row."""
    return f"create table {table} as select id, {number}::bigint as number from candidate.{mart}"


def swap_views(connection: psycopg.Connection[Any], number: int) -> None:
    """A new table per mart, then the view over it is replaced: one transaction per mart."""
    for mart in MARTS:
        connection.execute(
            f"{_made(f'views.{mart}_{number}', mart, number)};"
            f"create or replace view views.{mart} as select * from views.{mart}_{number};"
            f"drop table if exists views.{mart}_{number - 1}"
        )


def rename_schemas(connection: psycopg.Connection[Any], number: int) -> None:
    """All marts in a new schema, which takes the place of the old one in one transaction."""
    connection.execute("create schema renamed_new")
    for mart in MARTS:
        connection.execute(_made(f"renamed_new.{mart}", mart, number))
    connection.execute(
        "begin; alter schema renamed rename to renamed_old;"
        " alter schema renamed_new rename to renamed; commit; drop schema renamed_old cascade"
    )


def rebuild_tables(connection: psycopg.Connection[Any], number: int) -> None:
    """What dbt does with a table: make it aside, rename both, drop the old one; mart by mart."""
    for mart in MARTS:
        connection.execute(
            f"{_made(f'tables.{mart}_new', mart, number)};"
            f"begin; alter table tables.{mart} rename to {mart}_old;"
            f" alter table tables.{mart}_new rename to {mart}; commit;"
            f"drop table tables.{mart}_old cascade"
        )


OTHERS: dict[str, tuple[str, Publish]] = {
    "view per mart, replaced": ("views", swap_views),
    "schema renamed": ("renamed", rename_schemas),
    "dbt's plain tables": ("tables", rebuild_tables),
}


_THINKS = 0.01


def _paced(dsn: str, schema: str, publish: Publish) -> Seen:
    return play(dsn, schema, publish, 1000, 100_000, thinks=_THINKS, every=0.1)


def measure(given: Settings) -> None:
    """Idle, ours, the others: a thousand publications and a hundred thousand probes each."""
    dsn = database.dsn(database.address(given))
    with psycopg.connect(dsn, autocommit=True) as connection:
        set_up(connection)
        for schema in ("tables", "renamed", "views"):
            connection.execute(f"create schema {schema}")
            for mart in MARTS:
                made = f"{schema}.{mart}" + ("_0" if schema == "views" else "")
                connection.execute(f"create table {made} as select * from candidate.{mart}")
                if schema == "views":
                    connection.execute(f"create view views.{mart} as select * from {made}")
    found = {
        "nobody publishes": play(dsn, "published", None, 0, 100_000, thinks=_THINKS),
        "Airworthy": _paced(dsn, "published", publish),
    }
    for name, (schema, other) in OTHERS.items():
        found[name] = _paced(dsn, schema, other)
    idle = found["nobody publishes"].p99
    lines = [
        "| | publications | probes | errors | torn reads | waits over 1 ms | p99, ms | of idle |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, seen in found.items():
        errors = ", ".join(f"{n} {kind}" for kind, n in seen.errors.items()) or "0"
        lines.append(
            f"| {name} | {seen.publications if name != 'nobody publishes' else 0:,}"
            f" | {seen.probes:,} | {errors} | {seen.torn:,} | {seen.waits:,} (longest"
            f" {seen.longest_wait_ms:.0f} ms) | {seen.p99:.2f} | {seen.p99 / idle:.2f} |"
        )
    write(
        "readers",
        "Readers while a thousand publications go by",
        "Four readers, two in READ COMMITTED, two in REPEATABLE READ with four statements a"
        " transaction, join five marts, with 10 ms between transactions; up to ten publications a"
        " second, each of which changes every row of all five. A torn read shows rows of two"
        " publications. Waits are what a watcher sees in `pg_locks`.\n\n" + "\n".join(lines),
    )
