"""Every command of these runbooks is executed, in order, in a state in which it makes sense."""

from __future__ import annotations

import os
import re
import shlex
import subprocess

import pytest

from tests.conftest import PROJECT
from tests.faults.test_backfill import THREE_DAYS
from tests.faults.world import DAY, FACTS, World, correct
from tests.flights import landed, write

RUNBOOKS = (
    "rerun-a-day", "backfill-a-range", "roll-back", "gate-blocked-publish", "source-late",
    "delivery-rejected", "publication-late",
)  # fmt: skip
_PARTS = ["You see", "Check", "Do", "Verify", "Afterwards"]
_RUN = ".venv/bin/python -m orchestration "


def commands(runbook: str) -> list[str]:
    text = (PROJECT / f"runbooks/{runbook}.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def arguments(command: str) -> list[str]:
    """What the verb is called with, as make would: its recipe with the variables put in."""
    program, *words = shlex.split(command)
    assert program == "make"
    shown = subprocess.run(
        ["make", "-n", "-s", "-o", ".venv/.runtime", *words], cwd=PROJECT, text=True,
        capture_output=True, check=True,
    ).stdout.replace("\\\n", " ")  # fmt: skip
    (recipe,) = (line for line in shown.splitlines() if line.strip())
    given = dict(word.split("=", 1) for word in words if "=" in word)
    assert recipe.startswith(_RUN)
    return [
        re.sub(r"^\$(\w+)$", lambda found: given[found[1]], word)
        for word in shlex.split(recipe.removeprefix(_RUN))
    ]


def interrupt(world: World) -> None:
    """Leave a backfill behind that was killed at its first chunk."""
    ((last,),) = world.query("select max(run_id) from ops.runs")
    with world.stop_at(f"candidate.{FACTS}", last + 1) as point:
        process = world.start(*THREE_DAYS)
        point.reached(process)
        os.kill(process.pid, 9)
        process.wait()
    world.quiet()


def break_something(world: World, runbook: str) -> None:
    """What the runbook begins with, where that is more than a run that is due."""
    if runbook == "gate-blocked-publish":
        correct(world.given, "130", "temp")
        world.call("run", code=3)
    if runbook == "delivery-rejected":
        write(landed(world.given, "weather", DAY), ["origin,year", "EWR,2013"])
        world.call("run", code=4)


@pytest.mark.parametrize("runbook", RUNBOOKS)
def test_every_command_of_a_runbook_works(world: World, runbook: str) -> None:
    text = (PROJECT / f"runbooks/{runbook}.md").read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == _PARTS
    break_something(world, runbook)
    for command in commands(runbook):
        if runbook == "delivery-rejected" and command == "make run":
            correct(world.given, "0.01")
        if command.startswith(("make backfill-pause", "make backfill-cancel")):
            interrupt(world)
        assert world.call(*arguments(command)) or command.startswith("make digest")
    correct(world.given, "0.01")
    world.call("run")
    assert world.digests() == world.after
