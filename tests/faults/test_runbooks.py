"""Every command of these runbooks is executed, in order, in a state in which it makes sense.

The runbooks speak of the real project; the tests' own has other names for the same things.
"""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest

from orchestration.settings import PROJECT
from tests.faults.chunks import THREE_DAYS
from tests.faults.converge import after
from tests.support import files
from tests.support.checkout import Checkout
from tests.support.points import FACTS, kill_at, stop_at

RUNBOOKS = (
    "rerun-a-day", "backfill-a-range", "roll-back", "gate-blocked-publish", "source-late",
    "delivery-rejected", "publication-late",
)  # fmt: skip
# What the runbooks' examples are called here; the day's corrected file is the fourth delivery.
_NAMES = {
    "fct_weather_observations": FACTS,
    "observation_date": "reading_date",
    "temperature_fahrenheit": "temperature_degrees",
    "DELIVERY=3": "DELIVERY=4",
}
_PARTS = ["You see", "Check", "Do", "Verify", "Afterwards"]
_RUN = ".venv/bin/python -m orchestration "


@pytest.mark.parametrize("runbook", RUNBOOKS)
def test_every_command_of_a_runbook_works(due: Checkout, runbook: str) -> None:
    text = (PROJECT / f"runbooks/{runbook}.md").read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == _PARTS
    _break_something(due, runbook)
    for command in _commands(text):
        if runbook == "delivery-rejected" and command == "make run":
            due.correct()
        if command.startswith(("make backfill-pause", "make backfill-cancel")):
            _interrupt_a_backfill(due)
        assert due.call(*_arguments(command)) or command.startswith("make digest")
    due.correct()
    due.call("run")
    assert due.digests() == after()


def _commands(text: str) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    found = [line for block in blocks for line in block.splitlines() if line.strip()]
    assert found
    for theirs, ours in _NAMES.items():
        found = [command.replace(theirs, ours) for command in found]
    return found


def _arguments(command: str) -> list[str]:
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


def _break_something(made: Checkout, runbook: str) -> None:
    """What the runbook begins with, where that is more than a run that is due."""
    if runbook == "gate-blocked-publish":
        made.deliver(
            [files.HEADER, *(files.reading(hour=hour, temperature=130) for hour in range(24))]
        )
        made.call("run", code=3)
    if runbook == "delivery-rejected":
        made.deliver(["station,year", "AAA,2013"])
        made.call("run", code=4)


def _interrupt_a_backfill(made: Checkout) -> None:
    """Leave a backfill behind that was killed at its first chunk."""
    last = made.value("select max(run_id) from ops.runs")
    kill_at(made, stop_at(made, f"candidate.{FACTS}", last + 1), *THREE_DAYS)
