"""The project's steps as Prefect tasks.

A task waits; its step works in a process of its own (`orchestration.apart`), which ends with the
task: done, out of time, cancelled or killed. Results are never cached: the ledger knows what is
done. Killed: as with the step itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from orchestration import apart, console, errors, settings

_FIRST_SECONDS = 5.0
_LONGEST_SECONDS = 300.0
_RETRIES = 4


def echo(line: str) -> None:
    """Where the flows run in a terminal, what the steps say is shown there."""
    if settings.shows_steps():
        console.out.print(line, markup=False)


def _heals(_task: Any, _run: Any, state: Any) -> bool:
    return not isinstance(state.data, errors.LASTING)


def _delays() -> list[float]:
    """Longer from try to try, by chance between half and all of it: runs do not march in step."""
    longest = [min(_FIRST_SECONDS * 2**n, _LONGEST_SECONDS) for n in range(_RETRIES)]
    return [random.uniform(most / 2, most) for most in longest]  # noqa: S311


# Prefect's own jitter does nothing for tasks.
RETRIES: dict[str, Any] = {
    "retries": _RETRIES,
    "retry_delay_seconds": _delays(),
    "retry_condition_fn": _heals,
}
ONCE: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}


def step(function: Callable[..., Any], shown: str | None = None) -> Any:
    """A task called as the function is, tried again where that can help."""
    return once(function, shown, **RETRIES)


def once(function: Callable[..., Any], shown: str | None = None, **options: Any) -> Any:
    """A task called as the function is; its result is used by its own run only.

    Args:
        shown: what its runs are called, with arguments in braces; else as the function.
    """
    name = function.__name__
    return task(name=name, task_run_name=shown or name, **ONCE, **options)(function)


def perform(
    name: str, *arguments: object, on_node: Callable[[str, str], None] | None = None
) -> Any:
    """Do the step `name`; what it says goes into the task's log."""
    log = get_run_logger()

    def heard(message: dict[str, Any]) -> None:
        if "said" in message:
            log.info("%s", message["said"])
            echo(message["said"])
        elif "logged" in message:
            log.info("%s", message["logged"])
        elif on_node:
            on_node(message["node"], message["status"])

    try:
        return apart.perform(settings.load(), name, *arguments, heard=heard)
    except errors.AirworthyError as error:
        log.error("%s %s %s", error, error.kept, error.todo)
        raise


@contextmanager
def ended_with_flow() -> Iterator[None]:
    """A flow that is cancelled or fails leaves no step behind, in whatever thread it waits."""
    try:
        yield
    except BaseException:
        apart.abandon_all()
        raise
