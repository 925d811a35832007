"""Every single operation fails once: its process is killed, or its session is cut."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.converge import after, before, require_rerun_converges
from tests.faults.disturbed import Disturbed
from tests.faults.sweep import sweep
from tests.support import states


@contextmanager
def disturbed(state: str, folder: Path) -> Iterator[Disturbed]:
    made = states.copy(state, folder)
    found = Disturbed(made, state)
    yield found
    made.end()
    found.wire.close()
    states.drop(made)


def test_whichever_operation_of_a_run_fails_one_plain_rerun_converges(tmp_path: Path) -> None:
    with disturbed("due", tmp_path) as each:

        def require_rerun() -> None:
            require_rerun_converges(each.made, variables=each.over_the_wire)

        operations = each.operations("run")
        assert each.made.digests() == after()
        sweep(each, ("run",), operations, 30, require_rerun)


@pytest.mark.parametrize(
    "command", [("rollback", "--to", "2", "--reason", "a test"), ("gc",)], ids=["rollback", "gc"]
)
def test_whichever_operation_of_a_rollback_or_gc_fails_it_can_be_done_again(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    with disturbed("caught_up", tmp_path) as each:
        made = each.made
        count = "select count(*) from raw.readings"
        operations = each.operations(*command)
        goal, raw = made.digests(), made.value(count)
        assert goal == (before() if command[0] == "rollback" else after())

        def require_it_can_be_done_again() -> None:
            assert made.digests() in (goal, after())
            made.call(*command, code=0, **each.over_the_wire)
            assert made.digests() == goal
            assert made.value(count) == raw
            assert made.value("select count(*) < 2 from ops.holds")

        sweep(each, command, operations, 6, require_it_can_be_done_again)
