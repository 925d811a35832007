"""A backfill of a year and of ten, against one full run, and dbt's own microbatch on the year."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from time import perf_counter

from benchmarks import transform
from benchmarks.__main__ import interleave, table, write
from orchestration import database
from orchestration.auditing import auditor
from orchestration.backfills import run as backfill_run
from orchestration.backfills.outline import Request
from orchestration.building.build import environment
from orchestration.settings import PROJECT, Settings, exported

YEAR = (date(2013, 1, 1), date(2013, 12, 31))
TEN_YEARS = (date(2013, 1, 1), date(2022, 12, 29))
# Marts with daily partitions and no window; dbt's microbatch has no other.
_MARTS = {
    "weather/fct_weather_observations": ("observation_date", ["observation_id"]),
    "flights/fct_flights": ("flight_date", ["flight_id"]),
    "flights/agg_airlines_daily": ("flight_date", ["airline_id", "flight_date"]),
    "flights/agg_departures_hourly": (
        "flight_date",
        ["origin_airport_id", "departure_hour_at", "flight_date"],
    ),
}
_READ = {
    "staging/flights/stg_flights__flights": "flight_date",
    "staging/weather/stg_weather__observations": "observation_date",
    "intermediate/flights/int_flights_timed": "flight_date",
}


def measure(given: Settings) -> None:
    """Each way of building the same partitions in turn."""
    auditor.load()
    with tempfile.TemporaryDirectory() as folder:
        held = {n: transform.history(given, Path(folder) / f"{n}", n) for n in (1, 10)}
        whole = {
            1: _against_full(held[1], YEAR, 3),
            10: _against_full(held[10], TEN_YEARS, 1),
        }
        batches = interleave(
            {
                "make backfill, 4 marts": lambda: _backfill(held[1], YEAR, _names()),
                "dbt microbatch by month, 4 marts": _microbatch(held[1], Path(folder), "month"),
                "dbt microbatch by day, 4 marts": _microbatch(held[1], Path(folder), "day"),
            },
            repetitions=1,
        )
    write(
        "backfill",
        "A backfill, against one full run and dbt's microbatch",
        "All partitions of all marts, planned, built, tested, audited and published; dbt and Great"
        " Expectations loaded, the project read. The full run builds the same as after a"
        " change of all code.\n\n"
        + "\n\n".join(
            f"**{n} year{'s' if n > 1 else ''}**\n\n{table(taken, 'one full run', n * 336_776)}"
            for n, taken in whole.items()
        )
        + "\n\nThe marts that have a row per key and day, built into the same tables from the same"
        " rows. The backfill also tests, audits and publishes them and what hangs on them; dbt's"
        " microbatch only builds.\n\n"
        + table(batches, "dbt microbatch by month, 4 marts", 336_776),
    )


def _against_full(
    held: Settings, whole: tuple[date, date], repetitions: int
) -> dict[str, list[float]]:
    ways: dict[str, Callable[[], object]] = {
        "one full run": lambda: _full(held),
        "make backfill, CHUNK=auto": lambda: _backfill(held, whole),
        "make backfill, CHUNK=month": lambda: _backfill(held, whole, chunk="month"),
    }
    if whole == TEN_YEARS:
        del ways["make backfill, CHUNK=month"]
    return interleave(ways, repetitions)


def _full(held: Settings) -> float:
    with database.connect(held, name="bench") as connection:
        connection.execute("update ops.publications set code_version = ''")
        connection.execute(
            "update ops.runs set state = 'superseded'"
            " where run_id = (select max(run_id) from ops.runs)"
        )
    return sum(transform.run(held)[0].values())


def _backfill(
    held: Settings, whole: tuple[date, date], models: tuple[str, ...] = (), chunk: str = "auto"
) -> float:
    with database.connect(held, name="bench") as connection:
        backfill_run.read_project(held)
        started = perf_counter()
        backfill_run.start(
            held, connection, Request(*whole, chunk, models=models, allows_gaps=True)
        )
        return perf_counter() - started


def _names() -> tuple[str, ...]:
    return tuple(Path(path).name for path in _MARTS)


def _microbatch(held: Settings, folder: Path, size: str) -> Callable[[], float]:
    """A copy of the project in which the marts are dbt's own microbatch models; how to run it."""
    project = folder / f"microbatch_{size}"
    ignored = shutil.ignore_patterns(".venv", ".git", "var", "landing", "target", "__pycache__")
    shutil.copytree(PROJECT, project, ignore=ignored)
    for path, column in _READ.items():
        _configure(project / f"models/{path}.yml", f"event_time: {column}")
    for path, (column, key) in _MARTS.items():
        _configure(
            project / f"models/marts/{path}.yml",
            f"incremental_strategy: microbatch\n      event_time: {column}\n"
            f"      batch_size: {size}\n      begin: '2013-01-01'\n      unique_key: {key}",
        )

    def run() -> float:
        from dbt.cli.main import dbtRunner

        common = [
            "--target", "dev", "--quiet", "--project-dir", str(project), "--profiles-dir",
            str(project), "--target-path", str(project / "target"), "--log-path",
            str(project / "logs"),
        ]  # fmt: skip
        ends = ["--event-time-start", "2013-01-01", "--event-time-end", "2014-01-01"]
        with exported(environment(replace(held, project=project), None)):
            for arguments in (["seed"], ["run", "--exclude", *(f"{name}+" for name in _names())]):
                assert dbtRunner().invoke([*arguments, *common]).success
            started = perf_counter()
            assert dbtRunner().invoke(["run", "--select", *_names(), *ends, *common]).success
            return perf_counter() - started

    return run


def _configure(path: Path, setting: str) -> None:
    """Add a setting to a model's `config`."""
    text = path.read_text(encoding="utf-8")
    changed = re.sub(r"^    config:\n", f"    config:\n      {setting}\n", text, flags=re.MULTILINE)
    assert changed != text
    path.write_text(changed, encoding="utf-8")
