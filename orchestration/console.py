"""What people see in the terminal: lines, tables, progress bars, errors."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from orchestration.errors import AirworthyError

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

Advance = Callable[[int, str], None]


def say(step: str, text: str) -> None:
    """One line of the run: which step, and what it did."""
    out.print(f"[bold cyan]{step:>8}[/]  ", end="")
    out.print(text, markup=False)  # file names and values may look like markup


def show(table: Table) -> None:
    """A table as wide as it is: a narrow terminal wraps lines rather than losing figures."""
    needed = Measurement.get(out, out.options.update(max_width=500), table).maximum
    wide = Console(highlight=False, width=max(out.width, needed))
    wide.print(table)


@contextlib.contextmanager
def progress(step: str, what: str, total: int | None) -> Iterator[Advance]:
    """A progress bar; call the yielded function with how many are done and the current item."""
    columns = (
        TextColumn(f"[bold cyan]{step:>8}[/]  {{task.description}}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[item]}", style="dim", markup=False),
    )
    watched = out.is_terminal
    with Progress(*columns, console=out, transient=True, disable=not watched) as bar:
        task = bar.add_task(what, total=total, item="")

        def advance(count: int, item: str = "") -> None:
            bar.update(task, advance=count, item=item)

        yield advance


@contextlib.contextmanager
def quiet_logging() -> Iterator[None]:
    """Keep a library's notes out of the terminal; its errors still show."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def report(error: AirworthyError) -> None:
    """An error as three lines at most: what happened, what was kept, what to do next."""
    err.print("[bold red]   error[/]  ", end="")
    err.print(str(error), markup=False)
    if error.kept:
        err.print("[bold]    kept[/]  ", end="")
        err.print(error.kept, markup=False)
    if error.todo:
        err.print("[bold]    next[/]  ", end="")
        err.print(error.todo, markup=False)
