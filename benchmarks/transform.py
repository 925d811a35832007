"""One day on a year and on ten, step by step, and its rollback; full build against SQL by hand."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from time import perf_counter, sleep
from typing import TypeVar

import click

from benchmarks import years
from benchmarks.__main__ import interleave, table, write
from orchestration import database
from orchestration.auditing.auditor import auditor
from orchestration.auditing.gate import gate
from orchestration.building.build import Built, build, parse
from orchestration.ingesting.ingest import ingest
from orchestration.planning.graph import read
from orchestration.planning.plan import due, plan
from orchestration.publishing.publish import publish
from orchestration.publishing.rollback import resume, roll_back
from orchestration.settings import Settings
from orchestration.warehouse_server import warehouse

_LAST = {1: date(2013, 6, 1), 10: date(2022, 6, 1)}
_ON = {1: "on a year", 10: "on ten years"}
_DAYS = 7
_STEPS = ("plan", "build", "gate", "publish")
Seconds = dict[str, float]
T = TypeVar("T")
LOADING = 6  # seconds within which Great Expectations is loaded


def measure(given: Settings) -> None:
    """Build a year and ten, then days of both in turn; then a full build and its SQL in turn."""
    with tempfile.TemporaryDirectory() as folder:
        held = {n: history(given, Path(folder) / f"{n}", n) for n in _LAST}
        days = {n: _Days(settings, _LAST[n]) for n, settings in held.items()}
        rounds = [{n: each.correct_one() for n, each in days.items()} for _ in range(_DAYS + 1)]
        undone = {n: each.undo() for n, each in days.items()}
        full = interleave(
            {
                "make build, everything": lambda: _rebuild(held[1]),
                "the same SQL by hand": lambda: _by_hand(held[1]),
            },
            repetitions=3,
        )
    steps = {step: [{n: took[n][step] for n in took} for took in rounds[1:]] for step in _STEPS}
    write(
        "transform",
        "One day on long histories, and everything against plain SQL",
        "The steps after one corrected file of flights: the day in six marts, its month, 28"
        " windows, and their tests; without the loading of dbt and Great Expectations. Ten years"
        " are 2013 ten times, 3.3 million flights, each of the days a different one. Rollback"
        f" undoes {_DAYS + 1} such days.\n\n"
        + "\n\n".join(f"**{step}**\n\n{_compared(took)}" for step, took in steps.items())
        + f"\n\n**rollback**\n\n{_rollbacks(undone)}"
        + "\n\nStep build of the year, all models, seeds and tests, by dbt with 4 threads, against"
        " the statements that it sends, one after another in one session: each table made anew with"
        " its key and indexes, each test counted; seeds are there already.\n\n"
        + table(full, "the same SQL by hand"),
    )


class _Days:
    """Corrects the flights of one day after the other, then takes all of it back."""

    def __init__(self, settings: Settings, last: date) -> None:
        self.settings, self.day = settings, last
        self.published: list[float] = []

    def correct_one(self) -> Seconds:
        years.correct(Path(self.settings.landing_url), self.day)
        self.day -= timedelta(1)
        seconds, _ = run(self.settings)
        self.published.append(seconds["publish"])
        return seconds

    def undo(self) -> tuple[float, float]:
        """Seconds of the rollback, and of the publications that it undid."""
        with database.connect(self.settings, name="bench") as connection:
            started = perf_counter()
            roll_back(self.settings, connection, 1, "measured")
            seconds = perf_counter() - started
            resume(self.settings, connection, "measured")
        return seconds, sum(self.published)


def _compared(rounds: list[dict[int, float]]) -> str:
    seconds = {_ON[n]: [took[n] for took in rounds] for n in _ON}
    return table(seconds, _ON[1])


def _rollbacks(undone: dict[int, tuple[float, float]]) -> str:
    lines = ["| | rollback, s | the publications, s | times as long |", "|---|---|---|---|"]
    lines += [
        f"| {_ON[n]} | {back:.2f} | {there:.2f} | {back / there:.2f} |"
        for n, (back, there) in undone.items()
    ]
    return "\n".join(lines)


def history(given: Settings, folder: Path, number: int) -> Settings:
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
    _, built = run(held)
    if number == 1 and built.over_budget:
        raise click.ClickException("over budget: " + "; ".join(built.over_budget))
    with database.connect(held, name="bench") as connection:
        connection.execute("vacuum analyze")
    return held


def run(settings: Settings) -> tuple[Seconds, Built]:
    """Seconds of each step after ingest; reading the project and loading libraries aside."""
    taken: Seconds = {}

    def timed(step: str, call: Callable[[], T]) -> T:
        started = perf_counter()
        done = call()
        taken[step] = perf_counter() - started
        return done

    with database.connect(settings, name="bench") as connection:
        ingest(settings, connection)
        manifest, reason = parse(settings), due(settings, connection)
        assert reason
        run = timed("plan", lambda: plan(settings, connection, reason, manifest)).run
        assert run
        built = timed("build", lambda: build(settings, connection, run, manifest))
        assert not built.failed, built.failed
        with auditor(settings, connection, run) as ready:
            sleep(LOADING)
            verdict = timed("gate", lambda: gate(settings, connection, run, ready))
        timed("publish", lambda: publish(settings, connection, verdict))
    return taken, built


def _rebuild(settings: Settings) -> float:
    """Seconds of a build of everything, as after a change of all code."""
    with database.connect(settings, name="bench") as connection:
        _empty(connection, "candidate", "intermediate", "staging", "seeds")
        connection.execute("update ops.publications set code_version = ''")
        connection.execute("update ops.runs set state = 'superseded' where state = 'published'")
    return run(settings)[0]["build"]


def _by_hand(settings: Settings) -> float:
    """Seconds of the statements that dbt sent for its last full build, in one session."""
    written = {path.name: path for path in (settings.var / "dbt/run").rglob("*.sql")}
    manifest = parse(settings)
    # Unit tests look at no table; they are part of what the build costs besides.
    nodes = [
        node for node in read(manifest, settings.project).nodes
        if node.kind not in ("seed", "unit_test")
    ]  # fmt: skip
    paths = [written[Path(manifest.nodes[node.unique_id].path).name] for node in nodes]
    with database.connect(settings, name="bench") as connection:
        indexes = connection.execute(
            "select tablename, indexdef from pg_indexes"
            " where schemaname = 'candidate' and indexname not like '%pkey'"
        ).fetchall()
        _empty(connection, "candidate", "intermediate", "staging")
        started = perf_counter()
        for node, path in zip(nodes, paths, strict=True):
            statements = path.read_text(encoding="utf-8").replace("__dbt_tmp", "")
            connection.execute(statements)
            for name, definition in indexes:
                if name == node.name:
                    connection.execute(definition)
        return perf_counter() - started


def _empty(connection: database.Connection, *schemas: str) -> None:
    """Drop all tables and views; the schemas keep their privileges."""
    for schema, name, kind in connection.execute(
        "select relnamespace::regnamespace::text, relname, relkind from pg_class"
        " where relnamespace::regnamespace::text = any(%s) and relkind in ('r', 'v')",
        [list(schemas)],
    ).fetchall():
        what = "view" if kind == "v" else "table"
        connection.execute(f"drop {what} if exists {schema}.{name} cascade")
