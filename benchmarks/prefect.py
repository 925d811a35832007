"""A corrected day published by `make run` and by the flow of a served deployment, in turn."""

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
from orchestration.prefect_server import api, home
from orchestration.settings import PROJECT, Settings

_LAST = date(2013, 6, 1)


def measure(given: Settings) -> None:
    """Publish the year, then correct one day after the other."""
    del given  # servers of its own: they outlive the process that starts them
    with tempfile.TemporaryDirectory() as folder:
        place = _Place(Path(folder))
        try:
            seconds = interleave({"make run": place.by_shell, "warehouse_flow": place.by_flow})
            state = place.client.call("GET", f"flow_runs/{place.last}")
        finally:
            place.verb("prefect-down")
            place.verb("clean-data")
    write(
        "prefect",
        "Prefect: a corrected day by `make run` and by a served flow",
        "One file of flights was corrected and ingested; the seconds are those of plan, build, gate"
        " and publish. `make run`: a process from start to end. `warehouse_flow`: from the call"
        " that starts a run of the deployment to its end as the server tells it; the worker's"
        f" look-out and the start of a process for the flow included, {state['total_run_time']:.1f}"
        " seconds without them in the last run.\n\n" + table(seconds, "make run"),
    )


class _Place:
    """A year published, and Prefect serving."""

    def __init__(self, folder: Path) -> None:
        self.day, self.last = _LAST, ""
        self.landing = folder / "landing"
        self.landing.mkdir()
        (folder / "nothing").mkdir()
        self.environment = settings.environment_with({}) | {
            "VAR_DIR": str(folder / "var"),
            "LANDING_URL": str(self.landing),
            "SETTLE_SECONDS": "0",
            "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
        }
        sample.land(settings.load(self.environment))
        self.verb("run")
        # Its watcher looks elsewhere: what is corrected starts nothing by itself.
        self.verb("prefect", LANDING_URL=str(folder / "nothing"))
        here = home.of(settings.load(self.environment))
        self.client = api.Client(here.api, here.login)

    def by_shell(self) -> float:
        self._correct()
        started = time.perf_counter()
        self.verb("run")
        return time.perf_counter() - started

    def by_flow(self) -> float:
        self._correct()
        started = time.perf_counter()
        self.last = self.client.start("warehouse/local")
        while (state := self.client.state(self.last))["type"] not in api.ENDED:
            time.sleep(0.1)
        assert state["type"] == "COMPLETED", state
        return time.perf_counter() - started

    def _correct(self) -> None:
        years.correct(self.landing, self.day)
        self.day -= timedelta(1)
        self.verb("ingest")

    def verb(self, name: str, **variables: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "orchestration", name], cwd=PROJECT, check=True,
            env=self.environment | variables, stdout=subprocess.DEVNULL,
        )  # fmt: skip
