"""What alerts and lineage add to `make run` on one new day: with and without them, in turn."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

from benchmarks import years
from benchmarks.__main__ import interleave, table, write
from orchestration import settings
from orchestration.ingesting import sample
from orchestration.settings import PROJECT, Settings

_LAST = date(2013, 6, 1)
_REPETITIONS = 9
_WITH = [sys.executable, "-m", "orchestration"]
# The verb as it is, without the one place that tells of what was done.
_WITHOUT = """
import contextlib, runpy, sys
from orchestration import verbs
verbs._told = lambda *_: contextlib.nullcontext()
sys.argv[0] = "orchestration"
runpy.run_module("orchestration", run_name="__main__")
"""


def measure(given: Settings) -> None:
    """Publish the year, then correct one day after the other."""
    del given  # a server of its own: it outlives the process that starts it
    with tempfile.TemporaryDirectory() as folder:
        place = _Place(Path(folder))
        try:
            seconds = interleave(
                {
                    "make run": lambda: place.timed(_WITH),
                    "make run without alerts and lineage": lambda: place.timed(
                        [sys.executable, "-c", _WITHOUT]
                    ),
                },
                _REPETITIONS,
            )
        finally:
            place.call([*_WITH, "clean-data"])
    write(
        "observe",
        "What alerts and lineage cost a run",
        "One file of flights of a published year was corrected: `make run` from start to end, with"
        " alerts and lineage told as they are by default (standard output, a file), and without"
        " both. Metrics, the page and `make watch` have processes of their own.\n\n"
        + table(seconds, "make run without alerts and lineage"),
    )


class _Place:
    """A year published."""

    def __init__(self, folder: Path) -> None:
        self.day = _LAST
        self.landing = folder / "landing"
        self.landing.mkdir()
        self.environment = settings.environment_with({}) | {
            "VAR_DIR": str(folder / "var"),
            "LANDING_URL": str(self.landing),
            "SETTLE_SECONDS": "0",
        }
        sample.land(settings.load(self.environment))
        self.call([*_WITH, "run"])

    def timed(self, program: list[str]) -> float:
        years.correct(self.landing, self.day)
        self.day -= timedelta(1)
        started = time.perf_counter()
        self.call([*program, "run"])
        return time.perf_counter() - started

    def call(self, command: list[str]) -> None:
        subprocess.run(
            command, cwd=PROJECT, check=True, env=self.environment, stdout=subprocess.DEVNULL
        )
