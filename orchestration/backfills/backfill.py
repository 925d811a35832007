"""A backfill in the ledger: a range of dates, planned once, rebuilt and published chunk by chunk.

Reads the ledger and the code; writes `ops.backfills` and `ops.backfill_chunks`. Killed: the plan is
there as a whole or not at all. What each chunk has come to follows from its run; see
`ops.backfill_chunk_states`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import class_row

from orchestration import database
from orchestration.backfills import outline
from orchestration.backfills.outline import Outline, Request
from orchestration.backfills.ranges import Range
from orchestration.errors import UsageError
from orchestration.ingesting.deliveries import audit
from orchestration.planning import changes, code_changes, fingerprints, graph, standing
from orchestration.settings import Settings

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

DONE = ("published", "empty")
_NOTHING = "Nothing was changed."
_COLUMNS = (
    "backfill_id, first_date, last_date, chunk, models, is_backwards, is_staged, is_comparison,"
    " keeps_going, max_active, as_of, code_version, reason, requested_by, state"
)


@dataclass(frozen=True)
class Backfill:
    """A recorded backfill.

    Attributes:
        models: it is limited to these and what hangs on them; empty: all.
        is_staged: published at the end, in one publication; with `is_comparison`, never.
        as_of: the newest delivery that it reads, unless something newer is published already.
        state: running (also when nobody works on it), paused, cancelled or finished.
    """

    backfill_id: int
    first_date: date
    last_date: date
    chunk: str
    models: list[str]
    is_backwards: bool
    is_staged: bool
    is_comparison: bool
    keeps_going: bool
    max_active: int
    as_of: int
    code_version: str
    reason: str
    requested_by: str
    state: str

    @property
    def range(self) -> Range:
        return Range(self.first_date, self.last_date)


@dataclass(frozen=True)
class Chunk:
    """One part of a backfill.

    Attributes:
        run_id: the newest run that was planned for it.
        state: waiting, passed (staged: built and audited), published, empty (there is nothing to
            build) or blocked.
    """

    backfill_id: int
    number: int
    first_date: date
    last_date: date
    run_id: int | None
    is_empty: bool
    state: str

    @property
    def range(self) -> Range:
        return Range(self.first_date, self.last_date)

    def is_done(self, backfill: Backfill) -> bool:
        return self.state in DONE or (backfill.is_staged and self.state == "passed")


@database.acts_as("transformer")
def plan(
    settings: Settings, connection: database.Connection, request: Request, manifest: Manifest
) -> Backfill:
    """Record the backfill that is asked for; or find it, if it is unfinished and that one again.

    Raises:
        UsageError: it makes no sense, another one stands in the way, or days are missing.
    """
    if found := _same(connection, request):
        return found
    planned = outline.outline(settings, connection, request, manifest)
    planned.require_no_gaps()
    require_known_code(settings, connection, planned, manifest)
    try:
        with connection.transaction():
            backfill_id = _insert(settings, connection, planned)
            audit(connection, settings.requested_by, f"backfill {backfill_id}", None, str(request))
    except psycopg.errors.ExclusionViolation as error:
        raise _overlap(connection, request) from error
    return recall(connection, backfill_id)


def recall(connection: database.Connection, backfill_id: int) -> Backfill:
    """The backfill with this number.

    Raises:
        UsageError: there is none.
    """
    found = _find(connection, "backfill_id = %s", [backfill_id])
    if not found:
        raise UsageError(
            f"There is no backfill {backfill_id}.", kept=_NOTHING, todo="`make status` lists them."
        )
    return found[0]


def unfinished(connection: database.Connection) -> list[Backfill]:
    return _find(connection, "state in ('running', 'paused')", [])


def chunks(connection: database.Connection, backfill_id: int) -> list[Chunk]:
    """All chunks in the order in which they are built."""
    backfill = recall(connection, backfill_id)
    with connection.cursor(row_factory=class_row(Chunk)) as cursor:
        found = cursor.execute(
            "select * from ops.backfill_chunk_states where backfill_id = %s order by number",
            [backfill_id],
        ).fetchall()
    return found[::-1] if backfill.is_backwards else found


def request_of(backfill: Backfill) -> Request:
    """What was asked for when the backfill was planned."""
    return Request(
        backfill.first_date, backfill.last_date, backfill.chunk, tuple(backfill.models),
        backfill.is_backwards, backfill.is_staged, backfill.is_comparison, backfill.keeps_going,
        backfill.max_active, backfill.reason, allows_gaps=True,
    )  # fmt: skip


def require_known_code(
    settings: Settings, connection: database.Connection, planned: Outline, manifest: Manifest
) -> None:
    """Raise if a chunk would mix the code that is published with another.

    Allowed are the first load of all, and a range that covers all that the new code is about.
    """
    request = planned.request
    published = standing.read(connection)
    known = graph.read(manifest, settings.project, connection)
    now = fingerprints.compute(manifest, settings.project)
    upstream = changes.delivered(connection, planned.as_of).upstream_of(known)
    changed = code_changes.rewritten(connection, known, published, now, upstream)
    if request.models and changed:
        what, todo = "the models that it is limited to hang on code that is not published", ""
    else:
        outside = [
            node.name
            for node in known.nodes
            if node.partitioning and node.unique_id in changed
            and (published.run_id or changed[node.unique_id] != code_changes.UNKNOWN)
            and not upstream[node.unique_id] <= request.range.dates
        ]  # fmt: skip
        if not outside:
            return
        what = f"the code of {', '.join(sorted(outside)[:3])} changed, at all dates"
        todo = f", or let the backfill cover all of it: START={planned.data.first}"
        todo += f" END={planned.data.last}"
    raise UsageError(
        f"A backfill of {request.range} would mix old code and new: {what}.",
        kept=_NOTHING,
        todo=f"`make run` first; it builds what changed at all dates{todo}.",
    )


def _insert(settings: Settings, connection: database.Connection, planned: Outline) -> int:
    asked = planned.request
    row = connection.execute(
        "insert into ops.backfills (first_date, last_date, chunk, models, is_backwards, is_staged,"
        " is_comparison, keeps_going, max_active, as_of, code_version, runner, requested_by,"
        " reason) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " returning backfill_id",
        [asked.first, asked.last, asked.chunk, list(asked.models),
         asked.backwards, asked.staged or asked.compare,
         asked.compare, asked.keep_going, asked.max_active, planned.as_of, planned.code_version,
         settings.runner, settings.requested_by, asked.reason],
    ).fetchone()  # fmt: skip
    assert row is not None
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ops.backfill_chunks (backfill_id, number, first_date, last_date)"
            " values (%s, %s, %s, %s)",
            [
                (row[0], number, part.range.first, part.range.last)
                for number, part in enumerate(planned.parts, 1)
            ],
        )
    return int(row[0])


def _same(connection: database.Connection, request: Request) -> Backfill | None:
    """The unfinished backfill that was asked for with the same words."""
    for backfill in unfinished(connection):
        if request_of(backfill).is_like(request):
            return backfill
    return None


def _overlap(connection: database.Connection, request: Request) -> UsageError:
    others = [other for other in unfinished(connection) if other.range.dates & request.range.dates]
    said = " and ".join(f"{other.backfill_id} ({other.range})" for other in others) or "another one"
    number = others[0].backfill_id if others else "<n>"
    return UsageError(
        f"The range overlaps that of backfill {said}, which is not finished.",
        kept=_NOTHING,
        todo=f"make backfill RESUME={number}, or make backfill-cancel BACKFILL={number}",
    )


def _find(connection: database.Connection, condition: str, values: list[Any]) -> list[Backfill]:
    with connection.cursor(row_factory=class_row(Backfill)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} from ops.backfills where {condition} order by backfill_id", values
        ).fetchall()
