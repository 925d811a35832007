"""Every single operation fails once: its process is killed, or its session is cut."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Iterable, Iterator

import pytest

from orchestration import database
from tests.faults.wire import Fault, Wire, is_write
from tests.faults.world import RETAIN_ONE, World

HOW = ("kill after", "cut", "kill before")


class Disturbed:
    """The world, reached over a wire that fails one operation."""

    def __init__(self, world: World, wire: Wire) -> None:
        self.world, self._wire = world, wire
        where = database.address(world.given)
        url = "postgresql://{PGUSER}@{PGHOST}:{port}/{PGDATABASE}?passfile={PGPASSFILE}"
        self.over_the_wire = {"WAREHOUSE_URL": url.format(port=wire.port, **where)} | RETAIN_ONE

    def operations(self, *arguments: str) -> list[str]:
        """What an undisturbed command asks the warehouse to do, in order."""
        self._wire.arm(None)
        self.world.call(*arguments, variables=self.over_the_wire)
        return self._wire.operations

    def fail(self, number: int, how: str, *arguments: str) -> bool:
        """Fail the operation of that number; False if the command ended before it came to it."""
        started = threading.Event()
        pids: list[int] = []

        def kill() -> None:
            started.wait()
            os.kill(pids[0], signal.SIGKILL)

        self._wire.arm(Fault(number, how == "kill after", None if how == "cut" else kill))
        process = self.world.start(*arguments, variables=self.over_the_wire)
        pids.append(process.pid)
        started.set()
        code = process.wait()
        failed = len(self._wire.operations) >= number
        assert code == 0 or failed, process.said
        assert code == -signal.SIGKILL or not failed or how == "cut", process.said
        assert "Traceback" not in process.said
        self._wire.arm(None)
        self.world.quiet()
        return failed


@pytest.fixture
def disturbed(world: World) -> Iterator[Disturbed]:
    wire = Wire(int(database.address(world.given)["PGPORT"]))
    yield Disturbed(world, wire)
    wire.close()


@pytest.fixture
def every(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--every", default=False))


def test_whichever_operation_of_a_run_fails_one_plain_rerun_converges(
    disturbed: Disturbed, every: bool
) -> None:
    operations = disturbed.operations("run")
    chosen = all_faults() if every else some_faults(operations, 4)
    assert disturbed.world.digests() == disturbed.world.after
    for number, how in chosen:
        disturbed.world.reset()
        try:
            if not disturbed.fail(number, how, "run"):
                break
            disturbed.world.require_rerun_converges(variables=disturbed.over_the_wire)
        except AssertionError as error:
            error.add_note(f"operation {number}, {how}: {operations[number - 1]}")
            raise


@pytest.mark.parametrize(
    "command", [("rollback", "--to", "2", "--reason", "a test"), ("gc",)], ids=["rollback", "gc"]
)
def test_whichever_operation_of_a_rollback_or_gc_fails_it_can_be_done_again(
    disturbed: Disturbed, every: bool, command: tuple[str, ...]
) -> None:
    world = disturbed.world
    world.call("run")
    world.keep("three_published")
    operations = disturbed.operations(*command)
    goal, raw = world.digests(), world.query("select count(*) from raw.weather")
    assert goal == (world.before if command[0] == "rollback" else world.after)
    for number, how in all_faults() if every else some_faults(operations, 1):
        world.reset("three_published")
        try:
            if not disturbed.fail(number, how, *command):
                break
            assert world.digests() in (goal, world.after)
            world.call(*command, variables=disturbed.over_the_wire)
            assert world.digests() == goal
            assert world.query("select count(*) from raw.weather") == raw
            assert world.query("select count(*) < 2 from ops.holds") == [(True,)]
        except AssertionError as error:
            error.add_note(f"operation {number}, {how}: {operations[number - 1]}")
            raise


def all_faults() -> Iterator[tuple[int, str]]:
    """Without end: the caller stops when a command ended undisturbed."""
    return ((number, how) for number in itertools.count(1) for how in HOW[:2])


def some_faults(operations: list[str], step: int) -> Iterable[tuple[int, str]]:
    """Of the different writes each `step`-th, failed in turn in all ways."""
    first = {text[-60:]: n for n, text in reversed([*enumerate(operations, 1)]) if is_write(text)}
    return zip(sorted(first.values())[::step], itertools.cycle(HOW), strict=False)
