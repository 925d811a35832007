"""A project with a warehouse, a landing place and a `var` of its own, as a user has it.

Tests do with it what users do: land files, change models, call verbs, look into tables and pages.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg

from orchestration import database, settings
from orchestration.settings import PROJECT
from tests.support import commands, files, flights
from tests.support.commands import Process

Connection = psycopg.Connection[Any]
Rows = list[tuple[Any, ...]]
Digests = dict[str, tuple[int, str]]
_numbers = itertools.count(1)
_SMALL = Path(__file__).parent.parent / "project"
_WIDE = Path(__file__).parent / "wide"
_SHARED = ("macros", "observability", "profiles.yml", "tests/data_tests/generic")
_REAL = ("contracts", "expectations", "macros", "models", "observability", "seeds",
         "tests/data_tests", "dbt_project.yml", "profiles.yml")  # fmt: skip


@dataclass
class Checkout:
    """A user's folder.

    Attributes:
        folder: holds `project`, `landing`, `var`, and what commands said.
        variables: the environment of its commands, over that of the tests.
    """

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    _started: list[Process] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for each in (self.landing, self.var):
            each.mkdir(exist_ok=True)
        self.variables = {
            "DBT_PROJECT_DIR": str(self.project), "VAR_DIR": str(self.var),
            "LANDING_URL": str(self.landing), "REQUESTED_BY": "tester", "SETTLE_SECONDS": "0",
        } | self.variables  # fmt: skip

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def landing(self) -> Path:
        return self.folder / "landing"

    @property
    def var(self) -> Path:
        return self.folder / "var"

    @property
    def settings(self) -> settings.Settings:
        """What its commands see; for the few tests of functions that take settings."""
        return settings.load(self.variables)

    # Commands

    def start(self, *arguments: str, **variables: str) -> Process:
        """Start a verb, with more variables for this once."""
        return self._start("verb", arguments, variables)

    def call(self, *arguments: str, code: int = 0, **variables: str) -> str:
        """Call a verb, which ends with `code`; what it said."""
        process = self.start(*arguments, **variables)
        assert process.wait() == code, process.said
        return process.said

    def step(self, name: str, *arguments: object, **variables: str) -> Any:
        """What a step returns, called as the tasks of all runners call it."""
        process = self._start("step", (name, *arguments), variables)
        assert process.wait() == 0, process.said
        return process.returned

    def fail(self, name: str, *arguments: object, **variables: str) -> str:
        """What a step says that fails."""
        process = self._start("step", (name, *arguments), variables)
        assert process.wait() != 0, process.said
        return process.said

    def start_step(self, name: str, *arguments: object, **variables: str) -> Process:
        """Start a step that may fail, or that shall not end by itself."""
        return self._start("step", (name, *arguments), variables)

    def parse(self) -> None:
        """Let dbt read the project, as the first plan would."""
        process = self._start("parse", (), {})
        assert process.wait() == 0, process.said

    @property
    def said(self) -> str:
        """What the last command said."""
        return self._started[-1].said

    def _start(
        self, kind: str, arguments: tuple[object, ...], variables: dict[str, str]
    ) -> Process:
        output = self.folder / f"said-{os.getpid()}-{next(_numbers):03}"
        process = commands.start(kind, arguments, self.variables | variables, output)
        self._started.append(process)
        return process

    def end(self) -> None:
        """End what a failed test may have left running."""
        for process in self._started:
            if not process.has_ended():
                process.kill()

    # The warehouse

    def connect(self, *, dbname: str | None = None, role: str | None = None) -> Connection:
        """A session in autocommit mode, of an administrator or with the rights of a role."""
        connection = database.connect(self.settings, name="test", dbname=dbname)
        if role:
            connection.execute(f"set role airworthy_{role}")
        return connection

    def query(self, text: str, *values: object) -> Rows:
        with self.connect() as connection:
            return connection.execute(text, values or None).fetchall()

    def value(self, text: str, *values: object) -> Any:
        """The only column of the only row."""
        ((found,),) = self.query(text, *values)
        return found

    def execute(self, text: str, *values: object) -> int:
        """How many rows a statement changed."""
        with self.connect() as connection:
            return connection.execute(text, values or None).rowcount

    def digests(self) -> Digests:
        """Rows and digest of each published mart."""
        rows = self.query(
            "select relname, found.row_count, found.digest from pg_class,"
            " lateral ops.digest_of(pg_class.oid::regclass) as found"
            " where relnamespace = 'published'::regnamespace and relkind = 'r'"
        )
        return {mart: (count, digest) for mart, count, digest in rows}

    def changes(self) -> dict[str, tuple[int, int, int]]:
        """Rows that the newest publication inserted, updated and deleted, where it did."""
        rows = self.query(
            "select mart, inserted, updated, deleted from ops.publication_changes"
            " where publication_id = (select max(publication_id) from ops.publications)"
        )
        return {mart: tuple(counts) for mart, *counts in rows if any(counts)}

    @property
    def publications(self) -> int:
        """How many there are, rollbacks included."""
        return int(self.value("select count(*) from ops.publications"))

    def has_nothing_to_do(self) -> bool:
        """Whether one more run finds nothing that was delivered or changed, and does nothing."""
        before = self.value("select count(*) from ops.runs")
        said = self.call("run")
        return "nothing new" in said and before == self.value("select count(*) from ops.runs")

    def age(self) -> None:
        """Let the last thing that was done be twenty minutes ago."""
        for table, column in (
            ("deliveries", "recorded_at"), ("runs", "planned_at"), ("runs", "finished_at"),
            ("build_results", "recorded_at"),
        ):  # fmt: skip
            self.execute(f"update ops.{table} set {column} = now() - interval '20 minutes'")

    # Files

    def path(self, source: str, day: date = files.DAY) -> Path:
        """Where the file of a source and date lies, landed or not."""
        return self.landing / files.path_of(source, day)

    def land(self, *days: date) -> None:
        """Let the readings of some days land."""
        for day in days:
            files.write(self.path("readings", day), files.readings(day))

    def deliver(self, content: Iterable[str] | bytes, day: date = files.DAY) -> Path:
        """Let another file land as the readings of a day."""
        return files.write(self.path("readings", day), content)

    def list_stations(self, lines: Iterable[str] = files.LIST) -> None:
        """Let a list of the stations land."""
        files.write(self.path("stations", date(2013, 1, 1)), lines)

    def correct(self, day: date = files.DAY) -> None:
        """Let a corrected file of a day land."""
        self.deliver(files.corrected(day), day)

    def land_flights(self, first: date, days: int = 1, *, planes: bool = True) -> None:
        """For a checkout of the real project: some days of the sample land."""
        for n in range(days):
            for source in ("flights", "weather"):
                path = files.path_of(source, first + timedelta(n))
                if (flights.whole_year() / path).exists():
                    flights.copy(path, self.landing)
        if planes:
            flights.copy("planes/planes_2013-01-01.csv", self.landing)

    def edit(self, path: str, old: str, new: str) -> Callable[[], object]:
        """Change a file of the project where `old` stands; call the answer to undo it."""
        file = self.project / path
        before = file.read_text()
        assert old in before, f"{old!r} is not in {path}"
        file.write_text(before.replace(old, new))
        return lambda: file.write_text(before)

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Hold a table, so that whoever writes it waits."""
        with self.connect() as connection, connection.transaction():
            connection.execute(f"lock table {table} in share mode")
            yield


def make_small_project(folder: Path) -> None:
    """The tests' own project, with what it shares with the real one."""
    shutil.copytree(_SMALL, folder)
    _copy(folder, _SHARED)


def make_wide_project(folder: Path) -> None:
    """The same with one more daily source and marts by month, over windows, and of history."""
    make_small_project(folder)
    shutil.copytree(_WIDE, folder, dirs_exist_ok=True)


def make_calendar_project(folder: Path) -> None:
    """The wide one without gauges: by day, by month and over 28 days, from one dated source."""
    make_wide_project(folder)
    shutil.rmtree(folder / "models/staging/gauges")
    for part in ("contracts/gauges.yml", "expectations/agg_floods_daily.json"):
        (folder / part).unlink()
    for suffix in (".sql", ".yml"):
        (folder / "models/marts/agg_floods_daily").with_suffix(suffix).unlink()


def make_real_project(folder: Path) -> None:
    """A copy of the real one, without its code in Python."""
    folder.mkdir(parents=True)
    _copy(folder, _REAL)


def _copy(folder: Path, parts: tuple[str, ...]) -> None:
    for part in parts:
        target = folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if (PROJECT / part).is_dir():
            shutil.copytree(PROJECT / part, target)
        else:
            shutil.copy2(PROJECT / part, target)
