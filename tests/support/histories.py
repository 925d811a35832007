"""Random histories of a warehouse, which all end in the marts of a build from scratch.

A state machine plays what people and providers do: files in any order, late, corrected, doubled,
withdrawn; runs that are abandoned half way; changed code, lost tables. After each run the published
marts are compared with those of another warehouse, in which only the files that count in the end
ever landed. AIRWORTHY_EXAMPLES and AIRWORTHY_STEPS make it a campaign of hours.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support import files, states
from tests.support.checkout import Checkout, Digests

# The last of a month, the first of the next, and a date whose window begins after both.
DAYS = (date(2013, 2, 28), date(2013, 3, 1), date(2013, 3, 29))
LISTS = (date(2013, 1, 1), date(2013, 3, 1))
CODE: dict[str, dict[str, tuple[str, str]]] = {
    "as it is": {},
    "a comment": {"models/marts/agg_stations_daily.sql": ("with\n", "-- by day\nwith\n")},
    "another threshold": {"models/marts/fct_readings.sql": (">= 10", ">= 3")},
    "another macro": {"macros/measures/divide.sql": (", 6)", ", 3)")},
    "another seed": {"seeds/regions.csv": ("N,North", "N,Far North")},
    "another view": {"models/staging/gauges/stg_gauges__levels.sql": (" level as", " -level as")},
}
_HELD = ("readings", "gauges")
_FIRST_LIST = ("stations", LISTS[0])  # without one, nothing could be built
# What is published where a history does not start from nothing.
_BEGUN = (
    _FIRST_LIST,
    *(("readings", day) for day in DAYS),
    *(("gauges", day) for day in DAYS[:2]),
)
_LOST = (
    "fct_readings",
    "agg_stations_monthly",
    "agg_stations_rolling",
    "agg_floods_daily",
    "dim_stations_history",
)

Slice = tuple[str, date]


@cache
def content(source: str, day: date, variant: int) -> tuple[str, ...]:
    """A small valid file; each variant lacks or changes other rows."""
    if source == "stations":
        listed = ("AAA,Alpha,N", f"BBB,Beta {variant},S", f"CCC,Gamma,{('', 'N', 'S')[variant]}")
        unread = ("DDD,Delta,N", "EEE,Epsilon,", "FFF,Phi,S")
        later = ("GGG,Eta,S",) if day > LISTS[0] else ()  # the same bytes would be a duplicate
        return (files.LIST[0], *listed, *unread[variant:], *later)
    if source == "gauges":
        levels = [f"{s},{100 + 10 * variant + day.day + n}" for n, s in enumerate(files.STATIONS)]
        return ("station,level", *levels[variant:])
    rows = [
        files.reading(day, hour, number, rain=(hour * number + day.day) % 13 + variant)
        for hour in range(4)
        for number in range(3)
    ]
    return (files.HEADER, *rows[variant : len(rows) - 3 * variant])


@dataclass
class World:
    """Two warehouses that share a project, and what a build from scratch gave for which files."""

    played: Checkout
    scratch: Checkout
    known: dict[object, Digests] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scratch.variables["DBT_PROJECT_DIR"] = str(self.played.project)
        touched = {path for changes in CODE.values() for path in changes}
        self._code = {path: (self.played.project / path).read_text() for path in touched}

    def set_code(self, name: str) -> None:
        for path, text in self._code.items():
            old, new = CODE[name].get(path, ("", ""))
            assert old in text
            (self.played.project / path).write_text(text.replace(old, new) if old else text)

    def from_scratch(self, active: dict[Slice, int], code: str) -> Digests:
        """The marts where these variants, and nothing else, ever landed."""
        key = (frozenset(active.items()), code)
        if key not in self.known:
            clear(self.scratch, "wide")
            for slice_, variant in active.items():
                land(self.scratch, slice_, variant)
            self.scratch.call("run")
            self.known[key] = self.scratch.digests()
        return self.known[key]


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Both of its warehouses are there until the end."""
    played, scratch = (states.copy("wide", folder / name) for name in ("played", "scratch"))
    yield World(played, scratch)
    for made in (played, scratch):
        made.end()
        states.drop(made)


def publish_begun(made: Checkout) -> None:
    for slice_ in _BEGUN:
        land(made, slice_, 0)
    made.call("run")


def clear(made: Checkout, state: str) -> None:
    """Let nothing lie at the landing place, and nothing have happened since that state."""
    states.renew(made, state)
    shutil.rmtree(made.landing)
    made.landing.mkdir()


def land(made: Checkout, slice_: Slice, variant: int) -> None:
    files.write(made.path(*slice_), content(*slice_, variant))


class Histories(RuleBasedStateMachine):
    """What people and providers do to a warehouse, in any order."""

    world: World

    @initialize(is_begun=st.booleans())
    def begin(self, is_begun: bool) -> None:
        clear(self.world.played, "begun" if is_begun else "wide")
        begun = _BEGUN if is_begun else ()
        self.loaded: dict[Slice, list[int]] = {slice_: [0] for slice_ in begun}  # newest last
        self.seen: set[tuple[Slice, int]] = {(slice_, 0) for slice_ in begun}
        self.waiting: dict[Slice, int] = {}
        self.abandoned = 0  # runs, one after the other
        self.set_code("as it is")
        self.deliver("stations", 0, 0)

    @rule(source=st.sampled_from(_HELD), day=st.integers(0, 2), variant=st.integers(0, 2))
    def a_file_lands(self, source: str, day: int, variant: int) -> None:
        self.deliver(source, day, variant)

    @rule(number=st.integers(0, 1), variant=st.integers(0, 2))
    def a_list_of_stations_lands(self, number: int, variant: int) -> None:
        self.deliver("stations", number, variant)

    @rule(days=st.permutations(range(3)))
    def all_days_land(self, days: list[int]) -> None:
        for day in days:
            self.deliver("readings", day, 0)
            self.deliver("gauges", day, 0)

    @precondition(lambda self: any(slice_ != _FIRST_LIST for slice_ in self.loaded))
    @rule(data=st.data())
    def a_delivery_is_withdrawn(self, data: st.DataObject) -> None:
        slices = sorted(slice_ for slice_ in self.loaded if slice_ != _FIRST_LIST)
        slice_ = data.draw(st.sampled_from(slices))
        number = self.world.played.value(
            "select delivery_id from ops.active_deliveries where source = %s and slice_date = %s",
            *slice_,
        )
        self.world.played.call("withdraw", "--delivery", str(number), "--reason", "a test")
        self.loaded[slice_].pop()
        if not self.loaded[slice_]:
            del self.loaded[slice_]

    @rule(code=st.sampled_from(sorted(CODE)))
    def the_code_changes(self, code: str) -> None:
        self.set_code(code)

    @rule(mart=st.sampled_from(_LOST))
    def a_table_is_lost(self, mart: str) -> None:
        self.world.played.execute(f"drop table if exists candidate.{mart} cascade")

    @precondition(lambda self: self.abandoned < 2)
    @rule()
    def a_run_is_abandoned_after_its_build(self) -> None:
        self.abandoned += 1
        self.take_in()
        self.world.played.call("ingest")
        run_id = self.world.played.step("plan")
        if run_id is not None:
            assert self.world.played.step("build", run_id) == []

    @rule()
    def everything_is_run(self) -> None:
        self.abandoned = 0
        self.take_in()
        self.world.played.call("run")
        self.compare()

    def teardown(self) -> None:
        """Every history ends with a run, unless it failed before."""
        if sys.exc_info()[0] is None:
            self.everything_is_run()

    def compare(self) -> None:
        """The published marts are those of a build from scratch."""
        active = {slice_: variants[-1] for slice_, variants in self.loaded.items()}
        assert self.world.played.digests() == self.world.from_scratch(active, self.code)

    def deliver(self, source: str, number: int, variant: int) -> None:
        slice_ = (source, (LISTS if source == "stations" else DAYS)[number])
        land(self.world.played, slice_, variant)
        self.waiting[slice_] = variant

    def take_in(self) -> None:
        """What the next ingest does: new bytes count, bytes seen before do not."""
        for slice_, variant in self.waiting.items():
            if (slice_, variant) not in self.seen:
                self.seen.add((slice_, variant))
                self.loaded.setdefault(slice_, []).append(variant)
        self.waiting.clear()

    def set_code(self, name: str) -> None:
        self.code = name
        self.world.set_code(name)


def play(histories: type[Histories], world: World, examples: int, steps: int) -> None:
    """Play random histories.

    Args:
        examples, steps: how many histories, how long; unless the environment says so.
    """
    played = type("Played", (histories,), {"world": world})
    run_state_machine_as_test(
        played,
        settings=settings(
            max_examples=int(os.environ.get("AIRWORTHY_EXAMPLES", examples)),
            stateful_step_count=int(os.environ.get("AIRWORTHY_STEPS", steps)),
            # A failure is told as it was found: to make it smaller would take many minutes.
            phases=[Phase.reuse, Phase.generate],
            deadline=None, suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
