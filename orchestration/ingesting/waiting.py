"""What waits at the landing place: files that nobody has looked at yet, and who takes which.

Reads the landing place, the contracts and the ledger; writes nothing.
"""

from __future__ import annotations

from orchestration import database
from orchestration.ingesting import contract_files, receive
from orchestration.ingesting.contracts import Contract
from orchestration.ingesting.deliveries import UNMATCHED
from orchestration.ingesting.landing import File, Landing
from orchestration.settings import Settings

Listing = frozenset[tuple[str, str]]


def unseen(connection: database.Connection, listed: list[File]) -> list[File]:
    """Those of the listed files that the ledger does not know in this version."""
    query = "select uri, file_version from ops.deliveries where withdraws is null"
    seen = set(connection.execute(query))
    return [file for file in listed if (file.uri, file.version) not in seen]


def look(settings: Settings, known: Listing) -> tuple[Listing, list[File]] | None:
    """The listing and what of it is new; None when it is `known`, or still grows."""
    files = Landing.at(settings.landing_url).files()
    listing = frozenset((file.uri, file.version) for file in files)
    if listing == known:
        return None
    if any(file.age is not None and file.age < settings.settle_seconds for file in files):
        return None
    with database.connect(settings, name="landing") as connection:
        return listing, unseen(connection, files)


def groups(settings: Settings, connection: database.Connection) -> list[list[str]]:
    """The sources that have something waiting; those that refer to each other stay together.

    What matches no contract waits as the source `unmatched`.
    """
    known = contract_files.load_all(settings.project / "contracts")
    new = unseen(connection, Landing.at(settings.landing_url).files())
    waiting = {receive.match(known, file).source for file in new}
    return [found for group in related(known) if (found := sorted(waiting & group))]


def related(known: dict[str, list[Contract]]) -> list[set[str]]:
    """All sources, parted so that no column refers from one part to another."""
    parts: list[set[str]] = [{UNMATCHED}]
    for name, versions in known.items():
        mine = {name} | {
            column.references[0]
            for contract in versions
            for column in contract.columns
            if column.references
        }
        touched = [part for part in parts if part & mine]
        parts = [part for part in parts if part not in touched] + [mine.union(*touched)]
    return parts
