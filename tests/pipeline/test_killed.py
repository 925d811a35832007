"""A run that is killed again and again, each time further on; `tests/faults` has single kills."""

from __future__ import annotations

from tests.pipeline.conftest import Another
from tests.support.checkout import Checkout
from tests.support.points import MIDDLE, STEPS, coming_run, kill_at, stop_at


def test_killed_in_every_step_one_plain_rerun_converges(due: Checkout, another: Another) -> None:
    before = due.digests()
    for step in STEPS:
        run_id = coming_run(due) if step == "build" else 0
        kill_at(due, stop_at(due, MIDDLE[step], run_id), "run")
        if step != "publish":  # killed there, it may have done all of it
            assert due.digests() == before
    due.call("run")
    undisturbed = another("due")
    undisturbed.call("run")
    assert due.digests() == undisturbed.digests()
    assert due.has_nothing_to_do()
