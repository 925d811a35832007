"""Whatever happened on the way, the marts are those of a build from scratch.

A state machine plays random histories on a few real flights: files in any order, late, corrected,
doubled, withdrawn; runs that are abandoned half way; changed code, lost tables. After each run the
published marts are compared with those of another warehouse, in which only the files that count in
the end ever landed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from orchestration import database
from orchestration.building.build import build, parse
from orchestration.ingesting.ingest import ingest
from orchestration.ingesting.replay import withdraw
from orchestration.planning.plan import due, plan
from orchestration.settings import Settings
from orchestration.warehouse_server import warehouse
from tests import warehouses
from tests.conftest import PROJECT
from tests.flights import lines_of, relative_path, whole_year, write
from tests.steps import copy_project, digests, go
from tests.warehouses import name_of

# The last of a month, the first of the next, and a date whose window begins after both.
DAYS = (date(2013, 2, 28), date(2013, 3, 1), date(2013, 3, 29))
LISTS = (date(2013, 1, 1), date(2013, 3, 1))
_HELD = ("flights", "weather")
_CODE = {
    "as it is": {},
    "a comment": {"models/marts/flights/agg_airlines_daily.sql": ("with\n", "-- by day\nwith\n")},
    "another threshold": {"models/marts/flights/fct_flights.sql": (">= 15", ">= 20")},
    "another macro": {"macros/measures/divide.sql": (", 6)", ", 3)")},
    "another seed": {"seeds/airlines.csv": ("United Air Lines Inc.", "United")},
    "another zone": {"seeds/airports.csv": ("America/Chicago", "America/Denver")},
}
_LOST = (
    "fct_flights",
    "agg_routes_monthly",
    "agg_airlines_rolling_28_days",
    "dim_aircraft_history",
)

Slice = tuple[str, date]


@cache
def content(source: str, day: date, variant: int) -> tuple[str, ...]:
    """A small file of real rows; each variant lacks or changes others."""
    if source == "planes":
        rows = (whole_year() / "planes/planes_2013-01-01.csv").read_text().splitlines()
        changed = [r.replace(",NA,Turbo-fan", f",{400 + variant},Turbo-fan") for r in rows[1::3]]
        return (rows[0], *rows[2::3], *rows[3::3][variant * 5 :], *changed)
    header, *rows = lines_of(whole_year() / relative_path(source, day))
    if source == "flights":
        listed = (whole_year() / "planes/planes_2013-01-01.csv").read_text()
        tail = header.split(",").index("tailnum")
        rows = [r for r in rows if f"\n{r.split(',')[tail]}," in listed][::25]
    else:
        rows = rows[::2] if variant else rows
    return (header, *rows[variant : len(rows) - 3 * variant])


def path_of(given: Settings, slice_: Slice) -> Path:
    source, day = slice_
    name = f"planes/planes_{day}.csv" if source == "planes" else relative_path(source, day)
    return Path(given.landing_url) / name


@dataclass
class World:
    """Two warehouses that share a project, and what a build from scratch gave for which files."""

    played: Settings
    scratch: Settings
    migrated: Settings
    server: Settings
    known: dict[object, dict[str, tuple[int, str]]] = field(default_factory=dict)

    def empty(self, given: Settings) -> None:
        """An empty database with a current ledger, and an empty landing place."""
        name = name_of(given)
        with database.connect(self.server) as connection:
            connection.execute(f"drop database if exists {name} with (force)")
            connection.execute(f"create database {name} template {name_of(self.migrated)}")
        shutil.rmtree(given.landing_url)
        Path(given.landing_url).mkdir()

    def from_scratch(self, active: dict[Slice, int], code: str) -> dict[str, tuple[int, str]]:
        key = (frozenset(active.items()), code)
        if key not in self.known:
            self.empty(self.scratch)
            for slice_, variant in active.items():
                write(path_of(self.scratch, slice_), list(content(*slice_, variant)))
            go(self.scratch)
            self.known[key] = digests(self.scratch)
        return self.known[key]


@pytest.fixture(scope="module")
def world(embedded_server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("equivalence")
    project = copy_project(folder / "project")
    migrated, played, scratch = (
        replace(warehouses.new(embedded_server, folder / name), project=project, settle_seconds=0)
        for name in ("migrated", "played", "scratch")
    )
    warehouse.up(migrated)
    yield World(played, scratch, migrated, embedded_server)
    with database.connect(embedded_server) as connection:
        for given in (migrated, played, scratch):
            connection.execute(f"drop database {name_of(given)} with (force)")


class Histories(RuleBasedStateMachine):
    """What people and providers do to a warehouse, in any order."""

    world: World

    @initialize()
    def begin(self) -> None:
        self.world.empty(self.world.played)
        self.loaded: dict[Slice, list[int]] = {}  # variants that count, newest last
        self.seen: set[tuple[Slice, int]] = set()
        self.waiting: dict[Slice, int] = {}
        self.set_code("as it is")
        self.deliver("planes", 0, 0)

    @rule(source=st.sampled_from(_HELD), day=st.integers(0, 2), variant=st.integers(0, 2))
    def a_file_lands(self, source: str, day: int, variant: int) -> None:
        self.deliver(source, day, variant)

    @rule(number=st.integers(0, 1), variant=st.integers(0, 2))
    def an_aircraft_list_lands(self, number: int, variant: int) -> None:
        self.deliver("planes", number, variant)

    @rule(days=st.permutations(range(3)))
    def all_days_land(self, days: list[int]) -> None:
        for day in days:
            self.deliver("flights", day, 0)
            self.deliver("weather", day, 0)

    @precondition(lambda self: any(s != ("planes", LISTS[0]) for s in self.loaded))
    @rule(data=st.data())
    def a_delivery_is_withdrawn(self, data: st.DataObject) -> None:
        slices = sorted(s for s in self.loaded if s != ("planes", LISTS[0]))
        source, day = slice_ = data.draw(st.sampled_from(slices))
        with warehouse.ready(self.world.played) as connection:
            row = connection.execute(
                "select delivery_id from ops.active_deliveries"
                " where source = %s and slice_date = %s",
                [source, day],
            ).fetchone()
            assert row
            withdraw(self.world.played, connection, row[0], "a test")
        self.loaded[slice_].pop()
        if not self.loaded[slice_]:
            del self.loaded[slice_]

    @rule(code=st.sampled_from(sorted(_CODE)))
    def the_code_changes(self, code: str) -> None:
        self.set_code(code)

    @rule(mart=st.sampled_from(_LOST))
    def a_table_is_lost(self, mart: str) -> None:
        with database.connect(self.world.played) as connection:
            connection.execute(f"drop table if exists candidate.{mart} cascade")

    @rule()
    def a_run_is_abandoned_after_its_build(self) -> None:
        with warehouse.ready(self.world.played) as connection:
            self.take_in()
            ingest(self.world.played, connection)
            reason = due(self.world.played, connection)
            if reason:
                manifest = parse(self.world.played)
                planned = plan(self.world.played, connection, reason, manifest)
                if planned.run:
                    assert build(self.world.played, connection, planned.run, manifest).failed == ()

    @rule()
    def everything_is_run(self) -> None:
        self.take_in()
        go(self.world.played)
        active = {slice_: variants[-1] for slice_, variants in self.loaded.items()}
        assert digests(self.world.played) == self.world.from_scratch(active, self.code)

    def deliver(self, source: str, number: int, variant: int) -> None:
        slice_ = (source, (LISTS if source == "planes" else DAYS)[number])
        write(path_of(self.world.played, slice_), list(content(*slice_, variant)))
        self.waiting[slice_] = variant

    def take_in(self) -> None:
        """What the next ingest does: new bytes count, bytes seen before do not."""
        for slice_, variant in self.waiting.items():
            if (slice_, variant) not in self.seen:
                self.seen.add((slice_, variant))
                self.loaded.setdefault(slice_, []).append(variant)
        self.waiting.clear()

    def set_code(self, code: str) -> None:
        self.code = code
        touched = {path for changes in _CODE.values() for path in changes}
        for path in touched:
            shutil.copy2(PROJECT / path, self.world.played.project / path)
        for path, (old, new) in _CODE[code].items():
            target = self.world.played.project / path
            text = target.read_text()
            assert old in text
            target.write_text(text.replace(old, new))


def test_any_history_ends_in_the_marts_of_a_build_from_scratch(world: World) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    class Played(Histories):
        pass

    Played.world = world
    run_state_machine_as_test(
        Played,
        settings=settings(
            max_examples=4, stateful_step_count=10, deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
