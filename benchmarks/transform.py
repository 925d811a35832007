"""Build of one day on long histories; full build against the same SQL by hand."""

from __future__ import annotations

import gzip
import tempfile
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from time import perf_counter

import click

from benchmarks import years
from benchmarks.__main__ import interleave, table, write
from orchestration import database, sample, warehouse
from orchestration.build import build, parse
from orchestration.gate import gate
from orchestration.graph import read
from orchestration.ingest import ingest
from orchestration.plan import due, plan
from orchestration.publish import publish
from orchestration.runs import Run
from orchestration.settings import Settings

_LAST = {1: date(2013, 6, 1), 10: date(2022, 6, 1)}


def measure(given: Settings) -> None:
    """Build a year and ten, then days of both in turn; then a full build and its SQL in turn."""
    with tempfile.TemporaryDirectory() as folder:
        held = {n: _history(given, Path(folder) / f"{n}", n) for n in (1, 10)}
        days = {n: _Days(settings, _LAST[n]) for n, settings in held.items()}
        seconds = interleave(
            {
                "one day on a year": days[1].correct_one,
                "one day on ten years": days[10].correct_one,
            },
            repetitions=7,
        )
        full = interleave(
            {
                "make build, everything": lambda: _rebuild(held[1]),
                "the same SQL by hand": lambda: _by_hand(held[1]),
            },
            repetitions=3,
        )
    write(
        "transform",
        "Build: one day on long histories, and everything against plain SQL",
        "Step build (dbt's start included, its parse and the gate not) after one corrected file of"
        " flights: the day in six marts, its month, 28 windows, and their tests. Ten years are 2013"
        " ten times, 3.3 million flights, each of the days a different one.\n\n"
        + table(seconds, 1, "one day on a year")
        + "\n\nStep build of the year, all models, seeds and tests, by dbt with 4 threads, against"
        " the statements that it sends, one after another in one session: each table made anew with"
        " its key and indexes, each test counted; seeds are there already.\n\n"
        + table(full, 1, "the same SQL by hand"),
    )


class _Days:
    """Corrects the flights of one day after the other."""

    def __init__(self, settings: Settings, last: date) -> None:
        self.settings, self.day = settings, last

    def correct_one(self) -> float:
        """Seconds that the build took; ingest, plan, gate and publish are not counted."""
        path = Path(self.settings.landing_url)
        path = path / f"flights/{self.day:%Y/%m}/flights_{self.day}.csv.gz"
        lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
        sample.write(path, b"".join(lines[:-1]))
        self.day -= timedelta(1)
        return _run(self.settings)[1]


def _history(given: Settings, folder: Path, number: int) -> Settings:
    """A database with so many years published; stops where a model is over its budget."""
    name = f"years_{number}"
    with database.connect(given, name="bench") as connection:
        connection.execute(f"create database {name}")
    where = database.address(given)
    url = (
        f"postgresql://{where['PGUSER']}@{where['PGHOST']}:{where['PGPORT']}/{name}"
        f"?passfile={where['PGPASSFILE']}"
    )
    held = replace(
        given, warehouse_url=url, var=folder / "var", landing_url=str(folder / "landing")
    )
    years.land(held, number)
    warehouse.up(held)
    _, _, over = _run(held)
    if number == 1 and over:
        raise click.ClickException("over budget: " + "; ".join(over))
    with database.connect(held, name="bench") as connection:
        connection.execute("vacuum analyze")
    return held


def _run(settings: Settings) -> tuple[Run, float, tuple[str, ...]]:
    with database.connect(settings, name="bench") as connection:
        ingest(settings, connection)
        reason = due(settings, connection)
        assert reason
        manifest = parse(settings)
        run = plan(settings, connection, reason, manifest).run
        assert run
        started = perf_counter()
        built = build(settings, connection, run, manifest)
        seconds = perf_counter() - started
        assert not built.failed, built.failed
        publish(connection, gate(settings, connection, run))
    return run, seconds, built.over_budget


def _rebuild(settings: Settings) -> float:
    """Seconds of a build of everything, as after a change of all code."""
    with database.connect(settings, name="bench") as connection:
        for schema in ("candidate", "intermediate", "staging", "seeds"):
            connection.execute(f"drop schema if exists {schema} cascade")
        connection.execute("create schema candidate; update ops.publications set code_version = ''")
        connection.execute("update ops.runs set state = 'superseded' where state = 'published'")
    return _run(settings)[1]


def _by_hand(settings: Settings) -> float:
    """Seconds of the statements that dbt sent for its last full build, in one session."""
    written = {path.name: path for path in (settings.var / "dbt/run").rglob("*.sql")}
    manifest = parse(settings)
    nodes = [node for node in read(manifest).nodes if node.kind != "seed"]
    paths = [written[Path(manifest.nodes[node.unique_id].path).name] for node in nodes]
    with database.connect(settings, name="bench") as connection:
        indexes = connection.execute(
            "select tablename, indexdef from pg_indexes"
            " where schemaname = 'candidate' and indexname not like '%pkey'"
        ).fetchall()
        for schema in ("candidate", "intermediate", "staging"):
            connection.execute(f"drop schema {schema} cascade; create schema {schema}")
        started = perf_counter()
        for node, path in zip(nodes, paths, strict=True):
            statements = path.read_text(encoding="utf-8").replace("__dbt_tmp", "")
            connection.execute(statements)
            for name, definition in indexes:
                if name == node.name:
                    connection.execute(definition)
        return perf_counter() - started
