"""What `python -m orchestration <verb>` can be asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext

from orchestration import console, database, settings
from orchestration.errors import DeliveryRejected
from orchestration.ingesting.deliveries import Delivery
from orchestration.warehouse_server import warehouse


@contextmanager
def open_warehouse(
    lock: str | None = None, *, tells: bool = False
) -> Iterator[tuple[settings.Settings, database.Connection]]:
    """Settings and a connection to a warehouse that is up; with `lock`, the only one.

    Behind a chunk of a backfill everybody who asks for the lock `run` has a turn.

    Args:
        tells: at the end, however it ends, raise and resolve alerts, tell people, and write the
            lineage of what was done; whoever holds the lock `run` does so in any case, after
            giving it back.
    """
    given = settings.load()
    console.use(given.log_format)
    with warehouse.ready(given) as connection:
        held = database.turn(connection) if lock == "run" else nullcontext()
        held = held if lock in (None, "run") else database.only_one(connection, str(lock))
        with _told(given, connection, tells or lock == "run"), held:
            yield given, connection


@contextmanager
def _told(given: settings.Settings, connection: database.Connection, tells: bool) -> Iterator[None]:
    try:
        yield
    finally:
        if tells and not connection.closed:
            from orchestration.alerting.trouble import tell

            tell(given, connection)
        if tells and not connection.closed and not given.openlineage_is_off:
            from orchestration.lineage.tell import tell as tell_lineage

            tell_lineage(given, connection)


def say_rejected(deliveries: Iterable[Delivery]) -> None:
    """Raise DeliveryRejected if a file was, of a source whose contract does not only warn."""
    rejected = [d for d in deliveries if d.outcome == "rejected" and d.severity == "critical"]
    uris = [delivery.file.uri for delivery in rejected]
    if uris:
        raise DeliveryRejected(
            f"{len(uris)} landed files were rejected: {', '.join(uris[:3])}"
            + (" ..." if len(uris) > 3 else ""),
            kept="The files stay where they landed; all others were taken in.",
            todo="The reasons stand above and in the ledger; see runbooks/delivery-rejected.md.",
        )
