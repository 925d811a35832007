"""Step ingest: landed files -> `raw`, `quarantine`, `ops.deliveries`.

A large file is a transaction of its own, small ones share one; each holds rows, quarantined rows
and ledger rows. Killed at any point: what was under way left nothing, what was before it is
complete, and the same command goes on with the rest. Several may run at once.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator

import polars as pl
import psycopg

from orchestration import console, database
from orchestration.errors import UsageError
from orchestration.ingesting import contract_files, raw, receive, tokens
from orchestration.ingesting.contracts import Contract
from orchestration.ingesting.deliveries import Delivery, Rejected
from orchestration.ingesting.formats import BROKEN, opened
from orchestration.ingesting.framing import Records
from orchestration.ingesting.landing import File, Landing
from orchestration.ingesting.load import load_group, load_stream, record_rejected
from orchestration.ingesting.receive import Alone, Refused, Source
from orchestration.ingesting.unique import FirstPass, SecondPass, constraints
from orchestration.ingesting.validate import Checked, Validator
from orchestration.ingesting.waiting import unseen
from orchestration.settings import Settings


class _Changed(Exception):
    """The file is no longer what was listed: the next ingest will look at it."""


@database.acts_as("loader")
def ingest(
    settings: Settings, connection: database.Connection, only: Collection[str] | None = None
) -> list[Delivery]:
    """Take in every landed file that was not looked at yet, oldest path first.

    Args:
        only: names of sources; files of others are left for later, and those that match no
            contract belong to the source `unmatched`.

    Raises:
        UsageError: a contract cannot be read, a needed key is missing, or nothing ever landed.
    """
    known = contract_files.load_all(settings.project / "contracts")
    landing = Landing.at(settings.landing_url)
    for versions in known.values():
        raw.prepare(connection, versions)
    new = _new_files(settings, connection, landing)
    deliveries = [receive.match(known, file) for file in new]
    if only is not None:
        deliveries = [delivery for delivery in deliveries if delivery.source in only]
    return list(take_in(settings, connection, landing, known, deliveries))


def take_in(
    settings: Settings,
    connection: database.Connection,
    landing: Landing,
    known: dict[str, list[Contract]],
    deliveries: list[Delivery],
) -> Iterator[Delivery]:
    """Load or reject deliveries, source by source; yields each once it is recorded."""
    waiting: dict[str, list[Delivery]] = {}
    for delivery in deliveries:
        waiting.setdefault(delivery.source, []).append(delivery)
    keys = {
        name: tokens.load(settings, name)
        for name in waiting
        if any(c.is_restricted for version in known.get(name, []) for c in version.columns)
    }
    with console.progress("ingest", "loading deliveries", len(deliveries)) as advance:
        for name in _in_order(waiting, known):
            source = Source(
                known.get(name, []), landing, keys.get(name), _references(connection, known, name)
            )
            for done in _take_in_source(connection, source, waiting[name]):
                yield done
                advance(1, done.file.uri)


def _take_in_source(
    connection: database.Connection, source: Source, deliveries: list[Delivery]
) -> Iterator[Delivery]:
    # Reading and checking runs ahead in a thread; this one keeps PostgreSQL busy.
    for item in receive.ahead(receive.receive(source, deliveries)):
        if isinstance(item, Alone):
            yield from _take_in_alone(connection, source, item.delivery)
        elif isinstance(item, Refused):
            if record_rejected(connection, item.delivery):
                yield item.delivery
        else:
            yield from load_group(connection, item)


def _take_in_alone(
    connection: database.Connection, source: Source, delivery: Delivery
) -> Iterator[Delivery]:
    """Load one delivery by the newest version of the contract that it satisfies."""
    reasons = []
    for contract in source.versions:
        try:
            if _stream(connection, source, contract, delivery):
                yield delivery
            return
        except (_Changed, FileNotFoundError):
            console.say("ingest", f"{delivery.file.uri}: changed while it was read; left for later")
            return
        except Rejected as refusal:
            reasons.append(str(refusal))
        except BROKEN as error:
            reasons.append(f"the file cannot be read: {error}")
        except psycopg.DataError as error:
            reasons.append(f"PostgreSQL refuses a value that the contract allows: {error}")
    delivery.contract_version = source.versions[0].version
    delivery.reject("; ".join(dict.fromkeys(reasons)))
    if record_rejected(connection, delivery):
        yield delivery


def _stream(
    connection: database.Connection, source: Source, contract: Contract, delivery: Delivery
) -> bool:
    if delivery.sha256 is None:  # an earlier look, or an older version, has not read it yet
        delivery.sha256 = source.landing.sha256(delivery.file)
    with opened(source.landing, delivery.file, contract) as file:
        header = file.header
    validator = source.validator(contract, header)
    limits = constraints(contract, header)
    try:
        with FirstPass(limits) as first:
            return _pass(connection, source, delivery, validator, header, first)
    except _Repeated as repeated:
        second = SecondPass(limits, repeated.suspects)
        return _pass(connection, source, delivery, validator, header, second)


class _Repeated(Exception):
    """Two rows may have the same key: the file is read once more, with a closer look."""

    def __init__(self, suspects: list[set[int]]) -> None:
        self.suspects = suspects


def _pass(
    connection: database.Connection,
    source: Source,
    delivery: Delivery,
    validator: Validator,
    header: list[str],
    unique: FirstPass | SecondPass,
) -> bool:
    delivery.start_over(validator.contract)
    delivery.added_columns = tuple(n for n in header if n not in validator.loaded)
    assert delivery.slice is not None
    days = [delivery.slice.date]
    with opened(source.landing, delivery.file, validator.contract) as file:
        checked = (
            (records, unique.look(validator.check(records, days)))
            for records in file.records(validator.layout)
        )

        def chunks() -> Iterator[tuple[Records, Checked]]:
            yield from receive.ahead(checked)
            suspects = unique.repeated() if isinstance(unique, FirstPass) else []
            if any(suspects):
                raise _Repeated(suspects)
            if _is_changed(source, delivery.file):
                raise _Changed

        return load_stream(connection, validator, delivery, chunks())


def _is_changed(source: Source, file: File) -> bool:
    now = source.landing.now(file)
    return now is None or now.version != file.version


def _new_files(settings: Settings, connection: database.Connection, landing: Landing) -> list[File]:
    """Files that nobody looked at yet and that nobody is still writing."""
    listed = landing.files()
    new = unseen(connection, listed)
    if not listed and not connection.execute("select from ops.deliveries limit 1").rowcount:
        raise UsageError(
            f"The landing place {landing.url} is empty.",
            kept="Nothing was changed.",
            todo="Put files there as contracts/ say, or run `make land` for the demo's.",
        )
    young = [f for f in new if f.age is not None and f.age < settings.settle_seconds]
    if not young:
        return new
    time.sleep(settings.settle_seconds - min(max(f.age or 0, 0) for f in young) + 0.05)
    settled = {f for f in new if f not in young}
    for file in young:
        now = landing.now(file)
        if now and now.version == file.version:
            settled.add(file)
        else:
            console.say("ingest", f"{file.uri}: still being written; left for later")
    return [file for file in new if file in settled]


def _references(
    connection: database.Connection, known: dict[str, list[Contract]], name: str
) -> dict[str, pl.Series]:
    """The values that a source's columns may have because another source's key has them."""
    found: dict[str, pl.Series] = {}
    for contract in known.get(name, []):
        for column in contract.columns:
            if column.references and column.name not in found:
                found[column.name] = raw.values(connection, *column.references)
    return found


def _in_order(names: Iterable[str], known: dict[str, list[Contract]]) -> list[str]:
    """Sources, those that others refer to first."""
    ordered: list[str] = []

    def visit(name: str, waiting: tuple[str, ...]) -> None:
        if name in ordered or name in waiting:
            return
        for contract in known.get(name, []):
            for column in contract.columns:
                if column.references:
                    visit(column.references[0], (*waiting, name))
        ordered.append(name)

    for name in names:
        visit(name, ())
    return [name for name in ordered if name in set(names)]
