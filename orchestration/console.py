"""What people see in the terminal: lines, tables, progress bars, errors.

With LOG_FORMAT=json, what steps say are JSON objects instead, one per line and event, with the run,
source and delivery that they are about. No line of either kind shows a password.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.tree import Tree

from orchestration.errors import AirworthyError

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

Advance = Callable[[int, str], None]

_SECRETS = (
    (re.compile(r"(\w://[^\s:/@]*:)[^\s@]+@"), r"\1***@"),
    (re.compile(r"(?i)\b((?:password|secret|token_key|api_key)\s*[=:]\s*)[^\s,;)]+"), r"\1***"),
)
_is_json = False
_run: ContextVar[int | None] = ContextVar("run", default=None)
_step: ContextVar[str] = ContextVar("step", default="")


def use(log_format: str) -> None:
    """Say things as `text` or as `json` from now on."""
    global _is_json
    _is_json = log_format == "json"


def is_for_people() -> bool:
    """Whether tables and pictures have a place between the lines."""
    return not _is_json


def about_run(run_id: int) -> None:
    """What is said from now on is about this run."""
    _run.set(run_id)


def say(step: str, text: str, **about: object) -> None:
    """One line of the run: which step, and what it did.

    Args:
        step: empty where the line belongs to the one before.
        about: source, delivery and the like; only JSON shows them.
    """
    text = redacted(text)
    if _is_json:
        _step.set(step or _step.get())
        _write("info", text, about)
        return
    out.print(f"[bold cyan]{step:>8}[/]  ", end="")
    out.print(text, markup=False)  # file names and values may look like markup


def redacted(text: str) -> str:
    """The text without passwords, as addresses and settings hold them."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def _write(level: str, text: str, about: dict[str, object]) -> None:
    line: dict[str, object] = {
        "at": datetime.now(UTC).isoformat(),
        "level": level,
        "step": _step.get(),
        "text": text,
    }
    if (run := _run.get()) is not None:
        line |= {"run": run}
    given = {name: value for name, value in about.items() if value not in (None, "")}
    out.file.write(json.dumps(line | given, default=str) + "\n")
    out.file.flush()


def show(table: Table | Tree) -> None:
    """A table or tree as wide as it is: a narrow terminal wraps lines, and loses no figures."""
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
    if _is_json:
        more = {"error": type(error).__name__, "kept": error.kept, "todo": error.todo}
        _write("error", redacted(str(error)), {k: redacted(v) for k, v in more.items()})
        return
    err.print("[bold red]   error[/]  ", end="")
    err.print(redacted(str(error)), markup=False)
    if error.kept:
        err.print("[bold]    kept[/]  ", end="")
        err.print(redacted(error.kept), markup=False)
    if error.todo:
        err.print("[bold]    next[/]  ", end="")
        err.print(redacted(error.todo), markup=False)
