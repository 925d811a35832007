"""Step publish: candidate -> published, all marts in one transaction, with a passing verdict.

The database does it and knows no other way: `ops.publish` writes rows and shapes of `published`,
`history` (pre-images), `ops.publications`, `ops.publication_changes` and `ops.publication_shapes`.
Killed: before the commit nothing happened, after it all did. Readers neither wait nor fail: the
tables keep their identity and only row locks are taken. Of a mart that gets new columns or other
constraints they wait while it is written, for a limited time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg.rows import class_row

from orchestration import console, database
from orchestration.auditing.checks import Verdict
from orchestration.auditing.gate import RUNBOOK
from orchestration.errors import AirworthyError, GateBlocked, PublishingHeld, StaleRun, UsageError
from orchestration.settings import Settings

_UNTOUCHED = "The published marts are untouched."
Refusals = Mapping[str, tuple[type[AirworthyError], str]]
# What the database's functions refuse, by their error codes, and what to do then.
_REFUSALS: Refusals = {
    "AWRUN": (StaleRun, "Run `make run`; it plans anew from what is there."),
    "AWGAT": (GateBlocked, f"`make gate` shows what blocks; see {RUNBOOK}."),
    "AWCHG": (
        GateBlocked,
        "Run `make gate` to audit it as it is now, or `make run` to build it anew.",
    ),
    "AWNET": (
        AirworthyError,
        "This is a defect of ours, or of a type's; please report the mart's columns.",
    ),
    "AWHLD": (
        PublishingHeld,
        "When readers may see it: `make resume REASON=...`, then `make run`.",
    ),
    "AWSHP": (
        UsageError,
        "Keep what readers rely on, or add a new version of the model beside it.",
    ),
    "AWKEY": (UsageError, "Declare one in the model's yml: constraints, type primary_key."),
    "AWLCK": (
        AirworthyError,
        "Run the same command again, or end that transaction (pg_stat_activity).",
    ),
}


@dataclass(frozen=True)
class Change:
    """What one publication did to one mart, in rows.

    Attributes:
        lineage_updated: rows that stayed as they were, and lead to another delivery.
    """

    mart: str
    inserted: int
    updated: int
    deleted: int
    rows_after: int
    lineage_updated: int = 0


@dataclass(frozen=True)
class Publication:
    publication_id: int
    changes: tuple[Change, ...]


@database.acts_as("publisher")
def publish(settings: Settings, connection: database.Connection, verdict: Verdict) -> Publication:
    """Make the audited candidate what readers see.

    Raises:
        GateBlocked: the verdict is not a pass, or the candidate is no longer the audited one.
        PublishingHeld: somebody rolled back and nobody has resumed.
        UsageError: a mart's shape changed in a way that readers would not survive.
        WarehouseBusy: another publication is under way.
        AirworthyError: a reader stands in the way of a mart's new shape, or would wait too long.
    """
    run = verdict.run
    total = connection.execute(
        "select count(*) from ops.run_nodes where run_id = %s and is_mart", [run.run_id]
    ).fetchone()
    with (
        database.only_one(connection, "publication"),
        refusals(held=f"Run {run.run_id} passed."),
        console.progress("publish", "marts", (total or [0])[0]) as advance,
        limited_wait(settings, connection, advance),
    ):
        row = connection.execute("select ops.publish(%s, %s)", [run.run_id, run.token]).fetchone()
    assert row is not None
    return recall(connection, int(row[0]))


def recall(connection: database.Connection, publication_id: int) -> Publication:
    """A publication as the ledger holds it."""
    with connection.cursor(row_factory=class_row(Change)) as cursor:
        changes = cursor.execute(
            "select mart, inserted, updated, deleted, rows_after, lineage_updated"
            " from ops.publication_changes where publication_id = %s order by mart",
            [publication_id],
        ).fetchall()
    return Publication(publication_id, tuple(changes))


@contextmanager
def refusals(*, held: str = _UNTOUCHED, instead: Refusals | None = None) -> Iterator[None]:
    """Turn what the database's functions refuse into errors that say what to do.

    Args:
        held: what was kept where publishing is held.
        instead: what else some refusals mean to the caller.
    """
    try:
        yield
    except psycopg.errors.IntegrityError as error:
        raise AirworthyError(
            f"Something that others made on the published marts stands in the way: {error}",
            kept=_UNTOUCHED,
            todo="Remove that constraint, or declare it in the mart's yml; then run it again.",
        ) from error
    except psycopg.Error as error:
        said = str(error.diag.message_primary)
        known = {**_REFUSALS, **(instead or {})}
        if error.sqlstate not in known:
            raise
        kind, todo = known[error.sqlstate]
        kept = held if kind is PublishingHeld else _UNTOUCHED
        raise kind(said, kept=kept, todo=todo) from error


@contextmanager
def limited_wait(
    settings: Settings, connection: database.Connection, advance: console.Advance | None = None
) -> Iterator[None]:
    """Take back what the connection does once readers have waited too long for it.

    Args:
        advance: told of each mart that is done.

    Raises:
        AirworthyError: they would have waited longer than the settings allow.
    """
    seconds = settings.readers_wait_seconds
    wait = _Wait(connection, seconds)

    def on_notice(notice: psycopg.errors.Diagnostic) -> None:
        what, _, marts = (notice.message_primary or "").partition(" ")
        if what == "published" and advance:
            advance(1, marts)
        if what == "locked":
            wait.begin(marts)

    connection.add_notice_handler(on_notice)
    try:
        yield
    except psycopg.errors.QueryCanceled as error:
        if not wait.is_over:
            raise
        raise AirworthyError(
            f"Readers of {wait.marts} would have waited longer than {seconds} s for its new shape.",
            kept=_UNTOUCHED,
            todo="Run the same command again when few people read, with a larger"
            " READERS_WAIT_SECONDS (see .env.example).",
        ) from error
    finally:
        wait.end()
        connection.remove_notice_handler(on_notice)


@dataclass
class _Wait:
    """Readers of `marts` wait; for longer than `seconds`, and the connection's query is ended."""

    connection: database.Connection
    seconds: float
    marts: str = ""
    is_over: bool = False
    timer: threading.Timer | None = field(default=None, repr=False)

    def begin(self, marts: str) -> None:
        self.marts = marts
        self.timer = threading.Timer(self.seconds, self._give_up)
        self.timer.start()

    def end(self) -> None:
        if self.timer:
            self.timer.cancel()
            self.timer.join()

    def _give_up(self) -> None:
        self.is_over = True
        self.connection.cancel_safe()
