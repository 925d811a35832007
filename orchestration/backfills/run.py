"""A whole backfill in one process: chunk after chunk, with dbt and the auditor loaded once.

Writes what the steps write. Killed anywhere: resume it. Between two
chunks whoever waits has a turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestration import console, database
from orchestration.auditing import auditor
from orchestration.auditing.gate import RUNBOOK
from orchestration.backfills import backfill as backfills
from orchestration.backfills import chunk
from orchestration.backfills import control as backfill_control
from orchestration.backfills import narrate as narrate_backfill
from orchestration.backfills.backfill import Backfill, Chunk
from orchestration.backfills.chunk import Done
from orchestration.backfills.outline import Outline, Request, outline
from orchestration.backfills.ranges import Range
from orchestration.building.build import parse
from orchestration.errors import GateBlocked
from orchestration.settings import Settings

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

# With fewer chunks to come, loading the auditor's library here costs more than it saves.
_WORTH_LOADING = 3


def look(settings: Settings, connection: database.Connection, request: Request) -> Outline:
    """What the backfill would be; nothing is written."""
    return outline(settings, connection, request, read_project(settings))


def start(settings: Settings, connection: database.Connection, request: Request) -> Backfill:
    """Plan the backfill, or find it unfinished, and do all of it.

    Raises:
        GateBlocked: chunks did not pass; the others are published.
        BackfillStopped: somebody paused or cancelled it.
    """
    manifest = read_project(settings)
    return _work(settings, connection, begin(settings, connection, request, manifest), manifest)


def go_on(
    settings: Settings,
    connection: database.Connection,
    backfill_id: int,
    *,
    repin: bool = False,
    keep_going: bool = False,
) -> Backfill:
    """Do what is left of a backfill.

    Args:
        repin: accept the code and the deliveries that are there now, and start over.
    """
    manifest = read_project(settings)
    backfill = take_up(
        settings, connection, backfill_id, manifest, repin=repin, keep_going=keep_going
    )
    return _work(settings, connection, backfill, manifest)


def begin(
    settings: Settings, connection: database.Connection, request: Request, manifest: Manifest
) -> Backfill:
    """Plan the backfill, or find it unfinished; its chunks may be done."""
    planned = backfills.plan(settings, connection, request, manifest)
    return backfill_control.resume(
        settings, connection, planned.backfill_id, keep_going=request.keep_going
    )


def take_up(
    settings: Settings, connection: database.Connection, backfill_id: int, manifest: Manifest,
    *, repin: bool = False, keep_going: bool = False,
) -> Backfill:  # fmt: skip
    """Let what is left of a backfill be done."""
    if repin:
        backfill_control.repin(settings, connection, backfill_id, manifest)
    return backfill_control.resume(settings, connection, backfill_id, keep_going=keep_going)


def read_project(settings: Settings) -> Manifest:
    with console.progress("plan", "reading the dbt project", None):
        return parse(settings)


def _work(
    settings: Settings, connection: database.Connection, backfill: Backfill, manifest: Manifest
) -> Backfill:
    asked = backfills.request_of(backfill)
    planned = outline(settings, connection, asked, manifest)
    rows = {part.range: part.rows for part in planned.parts}
    every = backfills.chunks(connection, backfill.backfill_id)
    todo = [one for one in every if not one.is_done(backfill)]
    narrate_backfill.say_start(backfill, every, len(todo))
    blocked: list[Chunk] = []
    with _Progress(len(every), [rows.get(one.range, 0) for one in todo]) as advance:
        advance(len(every) - len(todo), None)
        for number, one in enumerate(todo):
            if number == 1 and len(todo) > _WORTH_LOADING:
                auditor.load()
            done = do_one(settings, connection, backfill, one.number, manifest)
            if done.verdict and not done.verdict.passed:
                blocked.append(one)
                if not backfill.keeps_going:
                    raise narrate_backfill.blocked_error(backfill, done.verdict)
            advance(1, one.range)
    if blocked:
        raise GateBlocked(
            f"{len(blocked)} of {len(every)} chunks were blocked: "
            + ", ".join(str(one.range) for one in blocked),
            kept="The other chunks are published; the candidate holds what is published.",
            todo=f"See {RUNBOOK}; then make backfill RESUME={backfill.backfill_id}",
        )
    end(settings, connection, backfill, manifest)
    return backfills.recall(connection, backfill.backfill_id)


def do_one(
    settings: Settings,
    connection: database.Connection,
    backfill: Backfill,
    number: int,
    manifest: Manifest,
) -> Done:
    """Do one chunk and say what came of it."""
    done = chunk.do_chunk(settings, connection, backfill.backfill_id, number, manifest)
    narrate_backfill.say_chunk(done)
    return done


def end(
    settings: Settings, connection: database.Connection, backfill: Backfill, manifest: Manifest
) -> None:
    """End a backfill whose chunks are all done, and say what came of it."""
    done = chunk.finish(settings, connection, backfill.backfill_id, manifest)
    if done.verdict and not done.verdict.passed:
        raise narrate_backfill.blocked_error(backfill, done.verdict)
    if backfill.is_comparison:
        narrate_backfill.show_differences(done.differences)
    narrate_backfill.say_end(backfill, done)


class _Progress:
    """A bar with chunks, rows per second and the time that is left."""

    def __init__(self, total: int, rows: list[int]) -> None:
        self._bar = console.progress("backfill", "chunks", total)
        self._rows, self._done, self._began = rows, 0, time.monotonic()

    def __enter__(self) -> Callable[[int, Range | None], None]:
        self._advance = self._bar.__enter__()
        return self.advance

    def __exit__(self, *error: object) -> None:
        self._bar.__exit__(*error)  # type: ignore[arg-type]

    def advance(self, count: int, part: Range | None) -> None:
        self._done += part is not None
        self._advance(count, self._say(part) if part else "")

    def _say(self, part: Range) -> str:
        seconds = time.monotonic() - self._began
        rows, left = sum(self._rows[: self._done]), sum(self._rows[self._done :])
        rate = rows / seconds
        minutes, rest = divmod(int(left / rate), 60) if rate else (0, 0)
        return f"{part}; {rate:,.0f} rows/s, about {minutes}:{rest:02} left"
