"""A small checkout with a warehouse of its own, in which one run is due, and its fault points.

Two days of weather are published; a correction of the first day and a third day have landed. So
the run that is due inserts, updates and deletes in two marts, one of which is built from the other.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from orchestration import database, settings
from orchestration.planning.plan import due
from orchestration.publishing import digest
from orchestration.settings import Settings
from orchestration.warehouse_server import embedded, warehouse
from tests.conftest import PROJECT
from tests.faults.processes import Forks, Process
from tests.flights import landed, lines_of, relative_path, whole_year, write

DAY = date(2013, 3, 9)
STEPS = ("ingest", "plan", "build", "gate", "publish")
FACTS, DAILY = "fct_weather_observations", "agg_stations_daily"
# Where a step is stopped in the middle of its work: the table it is about to write.
MIDDLE = {
    "ingest": "ops.deliveries",
    "plan": "ops.run_partitions",
    "build": f"candidate.{FACTS}",
    "gate": "ops.verdicts",
    "publish": f"published.{FACTS}",
}
_PARTS = (
    "orchestration", "macros", "seeds", "dbt_project.yml", "profiles.yml", "contracts/weather.yml",
    "observability", "models/_groups.yml", "models/staging/weather", "models/intermediate/places",
    "models/marts/places", "models/marts/weather", "tests/data_tests/generic",
    f"expectations/{FACTS}.json", "expectations/dim_airports.json",
)  # fmt: skip
RETAIN_ONE = {"RETAIN_PUBLICATIONS": "1", "RETAIN_DAYS": "0"}
_KEY = 1905
Digests = dict[str, tuple[int, str]]
Variables = dict[str, str]


class Point:
    """A place where sessions wait until they are released."""

    def __init__(self, world: World, connection: database.Connection, number: int) -> None:
        self._world, self._connection, self._number = world, connection, number

    def is_reached(self) -> bool:
        return self._waiting() is not None

    def reached(self, process: Process) -> int:
        """The number of the session that waits here."""
        self._world.until(self.is_reached, process)
        waiting = self._waiting()
        assert waiting is not None
        return waiting

    def release(self) -> None:
        self._connection.close()

    def _waiting(self) -> int | None:
        row = self._connection.execute(
            "select pid from pg_locks where locktype = 'advisory' and not granted"
            " and classid = %s and objid = %s",
            [_KEY, self._number],
        ).fetchone()
        return int(row[0]) if row else None


class World:
    """The checkout, its warehouse, and what they should hold.

    Attributes:
        before, after: digests of the published marts before and after the run that is due.
    """

    before: Digests
    after: Digests

    def __init__(self, folder: Path) -> None:
        self.project = _small_project(folder / "project")
        self._files = folder / "files"
        self.variables = {
            "VAR_DIR": str(folder / "var"), "LANDING_URL": str(folder / "landing"),
            "REQUESTED_BY": "tester", "SETTLE_SECONDS": "0", "DBT_THREADS": "1",
        }  # fmt: skip
        self.given = settings.load(self.variables, self.project)
        self.given.var.mkdir()
        self._forks = Forks(self.project, folder)
        self._started: list[Process] = []
        self._numbers = itertools.count(1)
        self._prepare()

    def _prepare(self) -> None:
        landing = Path(self.given.landing_url)
        warehouse.up(self.given)
        self.keep("migrated")
        for _ in range(2):
            land(self.given, DAY + timedelta(len(list(landing.rglob("*.gz")))))
            self.call("run")
        self.before = self.digests()
        self.keep("two_published")
        land(self.given, DAY + timedelta(2))
        correct(self.given, "0.01")
        shutil.copytree(landing, self._files)
        self.call("run")
        self.after = self.digests()
        assert self.after != self.before

    def keep(self, template: str) -> None:
        """Remember the warehouse as it is, for `reset`."""
        self.quiet()
        with self.postgres() as connection:
            connection.execute(f"drop database if exists {template}")
            connection.execute(f"create database {template} template airworthy strategy file_copy")

    def reset(self, template: str = "two_published") -> None:
        """The state that all tests start from."""
        warehouse.up(self.given)
        with self.postgres() as connection:
            connection.execute("drop database airworthy with (force)")
            # By file: a sequence that was copied through the log runs backwards after a crash.
            connection.execute(f"create database airworthy template {template} strategy file_copy")
        shutil.rmtree(self.given.landing_url)
        shutil.copytree(self._files, self.given.landing_url)

    def tidy(self) -> None:
        """End what a failed test may have left running."""
        for process in self._started:
            if not process.has_ended():
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
        self._started.clear()

    def end(self) -> None:
        self._forks.end()
        embedded.remove(embedded.locate(self.given))

    def postgres(self) -> database.Connection:
        return database.connect(self.given, dbname="postgres")

    def connect(self) -> database.Connection:
        return database.connect(self.given, name="test")

    def query(self, text: str) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(text).fetchall()

    def digests(self) -> Digests:
        with self.connect() as connection:
            return {d.mart: (d.rows, d.value) for d in digest.published(connection)}

    def start(self, *arguments: str, variables: Variables | None = None) -> Process:
        process = self._forks.start(arguments, self.variables | (variables or {}))
        self._started.append(process)
        return process

    def call(self, *arguments: str, code: int = 0, variables: Variables | None = None) -> str:
        """Run a verb to its end; what it said."""
        process = self.start(*arguments, variables=variables)
        assert process.wait() == code, process.said
        return process.said

    def until(self, condition: Callable[[], bool], *alive: Process) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            for process in alive:
                assert not process.has_ended(), f"it ended too early:\n{process.said}"
            assert time.monotonic() < deadline, [process.said for process in alive]
            time.sleep(0.005)

    @contextmanager
    def stop_at(self, table: str, run_id: int = 0) -> Iterator[Point]:
        """Let a step that is about to write `table` wait; with `run_id`, that run's dbt instead."""
        number = next(self._numbers)
        with self.connect() as connection:
            connection.execute(
                "create or replace function public.wait_here() returns trigger language plpgsql as"
                " $$ begin if tg_argv[1] ="
                " coalesce(nullif(current_setting('airworthy.run_id', true), ''), '0') then"
                f" perform pg_advisory_xact_lock_shared({_KEY}, tg_argv[0]::int);"
                " end if; return null; end $$;"
                f"create trigger wait_{number} before insert or update or delete on {table}"
                f" for each statement execute function public.wait_here({number}, {run_id})"
            )
            yield self._hold(connection, number)

    @contextmanager
    def stop_when_made(self, relation: str, run_id: int) -> Iterator[Point]:
        """Let that run's dbt wait when it has made a relation and not filled or renamed it yet."""
        number = next(self._numbers)
        with self.connect() as connection:
            connection.execute(
                "create or replace function public.wait_there() returns event_trigger"
                " language plpgsql as $$ begin"
                " if exists (select from pg_event_trigger_ddl_commands()"
                f" where object_identity ~ '[.]{relation}(__dbt_tmp[0-9]*)?$')"
                f" and current_setting('airworthy.run_id', true) = '{run_id}' then"
                f" perform pg_advisory_xact_lock_shared({_KEY}, {number}); end if; end $$;"
                "create event trigger wait on ddl_command_end execute function public.wait_there()"
            )
            yield self._hold(connection, number)

    def _hold(self, connection: database.Connection, number: int) -> Point:
        connection.execute("select pg_advisory_lock(%s, %s)", [_KEY, number])
        return Point(self, connection, number)

    def is_waiting(self, name: str) -> bool:
        """Whether a session of that name waits for another one's lock."""
        return bool(self.query(
            "select from pg_stat_activity where wait_event_type = 'Lock'"
            f" and application_name = '{name}'"
        ))  # fmt: skip

    def quiet(self) -> None:
        """Wait until the server has noticed that killed processes are gone."""
        query = (
            "select count(*) from pg_stat_activity where datname = current_database()"
            " and backend_type = 'client backend' and pid <> pg_backend_pid()"
        )
        with self.connect() as connection:
            self.until(lambda: connection.execute(query).fetchone() == (0,))

    def require_nothing_half_done(self, before: Digests | None = None) -> None:
        """What holds at any time: a whole publication, whole deliveries, no secret in a log."""
        assert self.digests() in (self.before if before is None else before, self.after)
        assert self.query(
            "select delivery_id from ops.deliveries full join (select _delivery_id as delivery_id,"
            " count(*) as loaded from raw.weather group by 1) as there using (delivery_id)"
            " where rows_received is distinct from rows_loaded + rows_quarantined"
            " or rows_loaded is distinct from coalesce(loaded, 0)"
        ) == []  # fmt: skip
        server = embedded.locate(self.given)
        password = server.passfile.read_text().strip().rsplit(":", 1)[1]
        logs = [*self.given.var.rglob("*.log"), *self.given.var.parent.glob("output-*"), server.log]
        assert [log for log in logs if password in log.read_text(errors="replace")] == []

    def require_rerun_converges(
        self, before: Digests | None = None, variables: Variables | None = None
    ) -> None:
        """One plain re-run gives what an undisturbed run gives, and leaves nothing to do.

        Args:
            before: what is published if the disturbed run published nothing.
            variables: the environment of the re-run.
        """
        self.quiet()
        self.require_nothing_half_done(before)
        self.call("run", variables=variables)
        self.require_nothing_half_done()
        assert self.digests() == self.after
        with self.connect() as connection:
            assert due(self.given, connection) is None


def land(given: Settings, day: date) -> None:
    path = relative_path("weather", day)
    (Path(given.landing_url) / path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(whole_year() / path, Path(given.landing_url) / path)


def correct(given: Settings, value: str, column: str = "precip") -> None:
    """A new file for the first day: all rain (or `column`) differs, the last hour is missing."""
    header, *rows = lines_of(whole_year() / relative_path("weather", DAY))
    at = header.split(",").index(column)
    changed = [[*r.split(",")[:at], value, *r.split(",")[at + 1 :]] for r in rows[:-1]]
    write(landed(given, "weather", DAY), [header, *(",".join(cells) for cells in changed)])


def _small_project(target: Path) -> Path:
    """This project with one source, three marts and a fourth of its own."""
    for part in _PARTS:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if (PROJECT / part).is_dir():
            shutil.copytree(PROJECT / part, target / part)
        else:
            shutil.copy2(PROJECT / part, target / part)
    small = Path(__file__).parent / "small"
    for suffix in ("sql", "yml"):
        shutil.copy2(small / f"{DAILY}.{suffix}", target / "models/marts/weather")
    shutil.copy2(small / f"{DAILY}.json", target / "expectations")
    assert json.loads((target / f"expectations/{DAILY}.json").read_text())
    return target
