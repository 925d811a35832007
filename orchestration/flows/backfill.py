"""A range of dates, rebuilt and published chunk by chunk; both ends are included.

Started by hand, with what `make backfill` takes. Each chunk is a task: planned, built, audited and
published on its own, one at a time, and a run that waits goes before the next. How many chunks are
in hand is the global concurrency limit `backfill`. A backfill that was stopped anywhere, or begun
in a shell or in Airflow, goes on here with its number as `resume`. Killed: the same.
"""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import Literal

from prefect import flow
from prefect.concurrency.sync import concurrency
from prefect.states import Completed, State

from orchestration.flows.parts import names
from orchestration.flows.parts.task import ended_with_flow, perform, step


@step
def plan(asked: dict[str, object]) -> dict[str, object]:
    """Record the backfill, or find it; what is left to do."""
    planned: dict[str, object] = perform("plan_backfill", asked)
    return planned


@partial(step, shown="chunk {dates}")
def chunk(backfill_id: int, number: int, dates: str) -> None:
    """Do one chunk: plan, build, gate, publish."""
    del dates  # its name shows them
    with concurrency(names.BACKFILL):
        perform("do_chunk", backfill_id, number)


@step
def finish(backfill_id: int) -> None:
    """Publish what waits for the end, and end it."""
    perform("finish_backfill", backfill_id)


@flow(name="backfill", persist_result=False, description=__doc__)
def backfill_flow(
    start: date | None = None, end: date | None = None, chunk_size: str = "auto",
    models: list[str] | None = None, reason: str = "", dry_run: Literal["", "1", "diff"] = "",
    resume: int | None = None, *, allows_gaps: bool = False, backwards: bool = False,
    stage: bool = False, keep_going: bool = False, repin: bool = False,
) -> State[None]:  # fmt: skip
    """Plan, each chunk, finish."""
    asked = {
        "start": start and str(start), "end": end and str(end), "chunk": chunk_size,
        "models": models or [], "reason": reason, "dry_run": dry_run, "resume": resume,
        "allows_gaps": allows_gaps, "backwards": backwards, "stage": stage,
        "keep_going": keep_going, "repin": repin,
    }  # fmt: skip
    with ended_with_flow():
        planned = plan(asked)
        number = planned["backfill"]
        if number is None:
            return Completed(message="Planned only; the log of task plan shows it.")
        numbers, dates = zip(*planned["chunks"], strict=True) if planned["chunks"] else ((), ())
        done = chunk.map(number, numbers, dates)
        done.wait()
        done.result()
        finish(number)
    return Completed(message=f"Backfill {number} is done.")
