"""Tell what happened since the last time: the one place where lineage is written.

Reads the ledger; writes to the transport, then notes in `ops.lineage_told` what was taken. Killed
in between: the same events, with the same ids, are told again. Whatever goes wrong, no run fails.
"""

from __future__ import annotations

from orchestration import console, database
from orchestration.lineage import transport
from orchestration.lineage.events import Place
from orchestration.lineage.pending import Pending, Telling, pending
from orchestration.lineage.transport import Transport
from orchestration.settings import Settings


def tell(settings: Settings, connection: database.Connection) -> None:
    """Write the events of all that was not told yet, by whichever runner."""
    if settings.openlineage_is_off:
        return
    try:
        _tell(settings, connection, transport.of(settings))
    except transport.Unreachable as error:
        console.say("lineage", f"{error}; told later")
    except Exception as error:
        # Only the kind: its text may quote what should not be in a log.
        console.say("lineage", f"not told: {type(error).__name__}; see docs/observability.md")


@database.acts_as("auditor")
def _tell(settings: Settings, connection: database.Connection, to: Transport) -> None:
    telling = Telling(settings, connection, place(settings, connection))
    for item in pending(telling):
        to.send(item.events)
        _note(connection, item)


def place(settings: Settings, connection: database.Connection) -> Place:
    """Where the datasets of this warehouse and landing place are."""
    info = connection.info
    return Place(
        f"postgres://{info.host or 'localhost'}:{info.port}", info.dbname, settings.landing_url
    )


def _note(connection: database.Connection, item: Pending) -> None:
    rows = [(item.what, item.id, item.until, item.happened_at)]
    if item.boundaries is not None:
        rows.append(("run", item.id, item.boundaries, item.happened_at))
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            "insert into ops.lineage_told (what, id, until, told_at) values (%s, %s, %s, %s)"
            " on conflict (what, id) do update"
            " set until = greatest(lineage_told.until, excluded.until), told_at = excluded.told_at",
            rows,
        )
