"""Roll back to a retained publication, and hold back later ones until somebody resumes.

The database does it (`ops.roll_back`): one transaction that publishes again what was there, from
the pre-images in `history`. Killed: before the commit nothing happened, after it all did.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from orchestration import database
from orchestration.errors import UsageError
from orchestration.ingesting.deliveries import audit
from orchestration.publishing.publish import Publication, limited_wait, recall, refusals
from orchestration.settings import Settings


@dataclass(frozen=True)
class Hold:
    """Nothing is published while one is active."""

    reason: str
    set_by: str
    set_at: datetime


@database.acts_as("publisher")
def roll_back(
    settings: Settings, connection: database.Connection, to: int | None, reason: str
) -> Publication:
    """Publish again what publication `to` held; by default the one before the newest.

    Raises:
        UsageError: there is no such publication, or gc removed what it takes.
        WarehouseBusy: a publication is under way.
    """
    target = to if to is not None else _before_newest(connection)
    with (
        database.only_one(connection, "publication"),
        refusals(instead={"AWRUN": (UsageError, "`make history` lists what is retained.")}),
        limited_wait(settings, connection),
    ):
        row = connection.execute(
            "select ops.roll_back(%s, %s, %s)", [target, reason, settings.requested_by]
        ).fetchone()
    assert row is not None
    return recall(connection, int(row[0]))


def active_hold(connection: database.Connection) -> Hold | None:
    """The hold that keeps runs from publishing, if any."""
    with connection.cursor(row_factory=class_row(Hold)) as cursor:
        return cursor.execute(
            "select reason, set_by, set_at from ops.holds where lifted_at is null"
        ).fetchone()


@database.acts_as("publisher")
def resume(settings: Settings, connection: database.Connection, reason: str) -> Hold:
    """Lift the hold; the next run publishes again.

    Raises:
        UsageError: nothing is held.
    """
    hold = active_hold(connection)
    if hold is None:
        raise UsageError(
            "Nothing is held.", kept="Nothing was changed.", todo="`make run` publishes."
        )
    with connection.transaction():
        connection.execute(
            "update ops.holds set lifted_by = %s, lifted_at = now() where lifted_at is null",
            [settings.requested_by],
        )
        audit(connection, settings.requested_by, "resume", None, reason)
    return hold


def _before_newest(connection: database.Connection) -> int:
    row = connection.execute(
        "select coalesce(restores, publication_id) - 1 from ops.publications"
        " order by publication_id desc limit 1"
    ).fetchone()
    return int(row[0]) if row else 0
