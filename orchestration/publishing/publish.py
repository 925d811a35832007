"""Step publish: candidate -> published, all marts in one transaction, with a passing verdict.

The database does it and knows no other way: `ops.prepare_publication` (shapes), then `ops.publish`
(rows), which writes `published`, `history` (pre-images), `ops.publications` and
`ops.publication_changes`. Killed: before the commit nothing happened, after it all did. Readers
neither wait nor fail: the tables keep their identity and only row locks are taken.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

from orchestration import console, database
from orchestration.auditing.checks import Verdict
from orchestration.auditing.gate import RUNBOOK
from orchestration.errors import AirworthyError, GateBlocked, PublishingHeld, StaleRun, UsageError
from orchestration.runs import Run

_ATTEMPTS = 20
_LOCK_TIMEOUT = "100ms"
_UNTOUCHED = "The published marts are untouched."


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
def publish(connection: database.Connection, verdict: Verdict) -> Publication:
    """Make the audited candidate what readers see.

    Raises:
        GateBlocked: the verdict is not a pass, or the candidate is no longer the audited one.
        PublishingHeld: somebody rolled back and nobody has resumed.
        UsageError: a mart's shape changed in a way that readers would not survive.
        WarehouseBusy: another publication is under way.
    """
    run = verdict.run
    total = connection.execute(
        "select count(*) from ops.run_nodes where run_id = %s and is_mart", [run.run_id]
    ).fetchone()
    with database.only_one(connection, "publication"), refusals(run):
        _prepare(connection, run)
        with console.progress("publish", "marts", (total or [0])[0]) as advance:
            handler = _follow(advance)
            connection.add_notice_handler(handler)
            try:
                row = connection.execute(
                    "select ops.publish(%s, %s)", [run.run_id, run.token]
                ).fetchone()
            finally:
                connection.remove_notice_handler(handler)
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
def refusals(run: Run) -> Iterator[None]:
    """Turn what the database's functions refuse into errors that say what to do."""
    try:
        yield
    except psycopg.Error as error:
        said = str(error.diag.message_primary)
        if error.sqlstate == "AWRUN":
            todo = "Run `make run`; it plans anew from what is there."
            raise StaleRun(said, kept=_UNTOUCHED, todo=todo) from error
        if error.sqlstate == "AWGAT":
            todo = f"`make gate` shows what blocks; see {RUNBOOK}."
            raise GateBlocked(said, kept=_UNTOUCHED, todo=todo) from error
        if error.sqlstate == "AWCHG":
            todo = "Run `make gate` to audit it as it is now, or `make run` to build it anew."
            raise GateBlocked(said, kept=_UNTOUCHED, todo=todo) from error
        if error.sqlstate == "AWNET":
            todo = "This is a defect of ours, or of a type's; please report the mart's columns."
            raise AirworthyError(said, kept=_UNTOUCHED, todo=todo) from error
        if error.sqlstate == "AWHLD":
            todo = "When readers may see it: `make resume REASON=...`, then `make run`."
            raise PublishingHeld(said, kept=f"Run {run.run_id} passed.", todo=todo) from error
        if error.sqlstate == "AWSHP":
            todo = "Keep the column, or add a new version of the model beside the old one."
            raise UsageError(said, kept=_UNTOUCHED, todo=todo) from error
        if error.sqlstate == "AWKEY":
            todo = "Declare one in the model's yml: constraints, type primary_key."
            raise UsageError(said, kept=_UNTOUCHED, todo=todo) from error
        raise


def _prepare(connection: database.Connection, run: Run) -> None:
    """New marts and new columns. Waits for no reader for long: gives way and tries again."""
    for attempt in range(_ATTEMPTS):
        try:
            with connection.transaction():
                connection.execute(f"set local lock_timeout = '{_LOCK_TIMEOUT}'")
                connection.execute(
                    "select ops.prepare_publication(%s, %s)", [run.run_id, run.token]
                )
            return
        except psycopg.errors.LockNotAvailable as error:
            if attempt + 1 == _ATTEMPTS:
                raise AirworthyError(
                    "A reader's transaction stands in the way of a new column.",
                    kept=_UNTOUCHED,
                    todo="Run the same command again, or end that transaction (pg_stat_activity).",
                ) from error
            time.sleep(random.uniform(0.1, 0.5))  # noqa: S311


def _follow(advance: console.Advance) -> Callable[[psycopg.errors.Diagnostic], None]:
    def on_notice(notice: psycopg.errors.Diagnostic) -> None:
        if (notice.message_primary or "").startswith("published "):
            advance(1, str(notice.message_primary).removeprefix("published "))

    return on_notice
