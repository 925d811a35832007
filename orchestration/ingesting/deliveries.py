"""One landed file and what became of it: a row of `ops.deliveries`.

Writes the ledger; the callers hold the transaction.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from psycopg.types.json import Jsonb

from orchestration import database
from orchestration.ingesting.contracts import Contract, Slice
from orchestration.ingesting.landing import File
from orchestration.ingesting.spool import Spool

UNMATCHED = "unmatched"


@dataclass
class Delivery:
    """One landed file and what became of it.

    Attributes:
        quarantined: line, text and reasons of the rows that are kept apart.
        warnings: rows per rule that only warns.
        replay_of: the delivery that this one loads again.
        requested: who asked for a replay, and why.
        severity: how bad its rejection is, as the contract says: critical or warning.
    """

    file: File
    source: str = UNMATCHED
    slice: Slice | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    sha256: str | None = None
    contract_version: str | None = None
    outcome: str = "rejected"
    reason: str | None = None
    duplicate_of: int | None = None
    replay_of: int | None = None
    requested: tuple[str, str] | None = None
    severity: str = "critical"
    added_columns: tuple[str, ...] = ()
    rows_loaded: int = 0
    quarantined: Spool = field(default_factory=Spool, repr=False)
    warnings: Counter[str] = field(default_factory=Counter)
    delivery_id: int | None = None

    @property
    def rows_quarantined(self) -> int:
        return len(self.quarantined)

    @property
    def rows_received(self) -> int:
        return self.rows_loaded + self.rows_quarantined

    def start_over(self, contract: Contract) -> None:
        """Forget what another version of the contract made of the rows."""
        self.contract_version = contract.version
        self.rows_loaded = 0
        self.quarantined = Spool()
        self.warnings = Counter()
        self.added_columns = ()

    def reject(self, reason: str) -> None:
        self.outcome, self.reason = "rejected", reason
        self.rows_loaded, self.quarantined, self.warnings = 0, Spool(), Counter()


class Rejected(Exception):
    """This delivery loads nothing; the message is the reason."""


def take_ids(connection: database.Connection, count: int) -> int:
    """The first of `count` ids in a row, in commit order; inside a transaction."""
    row = connection.execute("select ops.take_delivery_ids(%s)", [count]).fetchone()
    assert row is not None
    return int(row[0])


def claim(connection: database.Connection, deliveries: list[Delivery]) -> list[Delivery]:
    """Keep other loaders from these bytes until the transaction ends; those still to be loaded.

    What was loaded before becomes a duplicate; what another loader just looked at is left out.
    """
    keys = sorted({f"{delivery.source} {delivery.sha256}" for delivery in deliveries})
    for key in keys:
        connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 17))", [key])
    fresh = [d for d in deliveries if d.replay_of or not _is_recorded(connection, d)]
    left: dict[tuple[str, str | None], Delivery] = {}
    for delivery in fresh:
        key_ = (delivery.source, delivery.sha256)
        same = None if delivery.replay_of else _loaded_before(connection, delivery)
        if same:
            delivery.outcome, delivery.duplicate_of = "duplicate", same[0]
            delivery.reason = f"the same bytes as delivery {same[0]} ({same[1]})"
        elif key_ in left:
            delivery.outcome = "duplicate"
            delivery.reason = f"the same bytes as {left[key_].file.uri}"
        else:
            left[key_] = delivery
            delivery.outcome, delivery.reason = "loaded", None
    return fresh


def record(connection: database.Connection, first_id: int, deliveries: list[Delivery]) -> None:
    """Write the ledger rows, with ids from `first_id` on, and wait for earlier ones to commit."""
    ids = {}
    for delivery_id, delivery in enumerate(deliveries, first_id):
        delivery.delivery_id = delivery_id
        if delivery.outcome == "loaded":
            ids[(delivery.source, delivery.sha256)] = delivery_id
        elif delivery.outcome == "duplicate" and delivery.duplicate_of is None:
            delivery.duplicate_of = ids[(delivery.source, delivery.sha256)]
    rows = [_row(delivery) for delivery in deliveries]
    columns = ", ".join(rows[0])
    marks = ", ".join(f"%({name})s" for name in rows[0])
    with connection.cursor() as cursor:
        cursor.executemany(f"insert into ops.deliveries ({columns}) values ({marks})", rows)
    for delivery in deliveries:
        if delivery.requested:
            who, why = delivery.requested
            audit(connection, who, "replay", delivery.delivery_id, why)
    connection.execute("select ops.await_earlier_deliveries(%s)", [first_id])


def audit(
    connection: database.Connection, who: str, action: str, delivery_id: int | None, why: str
) -> None:
    """Note who did what, to which delivery if to one, and why; in the caller's transaction."""
    connection.execute(
        "insert into ops.audit_log (who, action, delivery_id, reason) values (%s, %s, %s, %s)",
        [who, action, delivery_id, why],
    )


def _is_recorded(connection: database.Connection, delivery: Delivery) -> bool:
    query = (
        "select from ops.deliveries where uri = %s and file_version = %s"
        " and replay_of is null and withdraws is null"
    )
    found = connection.execute(query, [delivery.file.uri, delivery.file.version]).fetchone()
    return found is not None


def _loaded_before(connection: database.Connection, delivery: Delivery) -> tuple[int, str] | None:
    query = (
        "select delivery_id, uri from ops.deliveries where source = %s and sha256 = %s"
        " and outcome = 'loaded' and replay_of is null"
    )
    row = connection.execute(query, [delivery.source, delivery.sha256]).fetchone()
    return (int(row[0]), str(row[1])) if row else None


def _row(delivery: Delivery) -> dict[str, object]:
    slice_ = delivery.slice
    return {
        "delivery_id": delivery.delivery_id,
        "source": delivery.source,
        "slice_date": slice_.date if slice_ else None,
        "slice_hour": slice_.hour if slice_ else 0,
        "slice_days": slice_.days if slice_ else 1,
        "uri": delivery.file.uri,
        "file_version": delivery.file.version,
        "size_bytes": delivery.file.size,
        "sha256": delivery.sha256,
        "contract_version": delivery.contract_version,
        "outcome": delivery.outcome,
        "reason": delivery.reason,
        "duplicate_of": delivery.duplicate_of,
        "replay_of": delivery.replay_of,
        "added_columns": list(delivery.added_columns),
        "warnings": Jsonb(dict(delivery.warnings)),
        "rows_received": delivery.rows_received,
        "rows_loaded": delivery.rows_loaded,
        "rows_quarantined": delivery.rows_quarantined,
        "started_at": delivery.started_at,
    }
