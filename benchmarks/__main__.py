"""`make bench`: every measurement, each side by side with what it is compared to, in one run.

Writes one page per measurement to `benchmarks/results/`.
"""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from time import perf_counter

import click

from orchestration import settings
from orchestration.settings import Settings
from orchestration.warehouse_server import embedded, warehouse

RESULTS = Path(__file__).parent / "results"
MEASUREMENTS = (
    "ingest", "large", "peers", "transform", "backfill", "gate", "readers", "shapes", "airflow",
    "prefect", "observe",
)  # fmt: skip


def interleave(
    alternatives: dict[str, Callable[[], object]], repetitions: int = 5
) -> dict[str, list[float]]:
    """Seconds of each alternative, all of them run in turn, after one round that is not counted.

    An alternative that returns a float has timed itself.
    """
    seconds: dict[str, list[float]] = {name: [] for name in alternatives}
    for round_ in range(repetitions + 1):
        for name, call in alternatives.items():
            started = perf_counter()
            taken = call()
            if round_:
                whole = perf_counter() - started
                seconds[name].append(taken if isinstance(taken, float) else whole)
    return seconds


def table(seconds: dict[str, list[float]], base: str, rows: int | None = None) -> str:
    """A Markdown table: median and range of seconds and of the ratio to `base`, rows per second."""
    lines = [
        "| | seconds, median (range) | times as long |" + (" rows per second |" if rows else ""),
        "|---|---|---|" + ("---|" if rows else ""),
    ]
    for name, taken in seconds.items():
        ratios = [mine / theirs for mine, theirs in zip(taken, seconds[base], strict=False)]
        lines.append(
            f"| {name} | {statistics.median(taken):.2f} ({min(taken):.2f} to {max(taken):.2f})"
            f" | {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"
            + (f" {rows / statistics.median(taken):,.0f} |" if rows else "")
        )
    return "\n".join(lines)


def write(name: str, title: str, text: str) -> None:
    """Write one result page, headed by when and where it was measured."""
    RESULTS.mkdir(exist_ok=True)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    where = (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {memory:.0f} GiB,"
        f" Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    )
    page = f"# {title}\n\nMeasured {where}. `make bench` measures again.\n\n{text}\n"
    (RESULTS / f"{name}.md").write_text(page, encoding="utf-8")
    click.echo(page)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(MEASUREMENTS))
def main(names: tuple[str, ...]) -> None:
    """Run the measurements NAMES, or all, on a throw-away warehouse."""
    with tempfile.TemporaryDirectory() as folder:
        given: Settings = settings.load({"VAR_DIR": folder, "LANDING_URL": f"{folder}/landing"})
        try:
            warehouse.up(given)
            for name in names or MEASUREMENTS:
                import_module(f"benchmarks.{name}").measure(given)
        finally:
            embedded.remove(embedded.locate(given))


if __name__ == "__main__":
    main()
