"""Read landed files, match them to contracts and check them; small files of a kind together.

Reads the landing place; writes nothing. Runs ahead of the loading, in a thread.
"""

from __future__ import annotations

import hashlib
import io
import queue
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

import polars as pl

from orchestration.ingesting.contracts import Contract
from orchestration.ingesting.deliveries import Delivery, Rejected
from orchestration.ingesting.formats import BROKEN, decoded
from orchestration.ingesting.framing import Records, cut, printable, read_header
from orchestration.ingesting.landing import File, Landing
from orchestration.ingesting.load import Group, check_counts, note
from orchestration.ingesting.tokens import Key
from orchestration.ingesting.unique import constraints, hold_repeated
from orchestration.ingesting.validate import Validator

SMALL_BYTES = 2**20
GROUP_BYTES = 4 * 2**20
T = TypeVar("T")


@dataclass(frozen=True)
class Alone:
    """A delivery that is read while it is loaded: it is large, or its first look went wrong."""

    delivery: Delivery


@dataclass(frozen=True)
class Refused:
    """A delivery that was rejected before its rows were looked at."""

    delivery: Delivery


@dataclass
class Source:
    """What is needed to read and check one source's files.

    Attributes:
        versions: its contracts, the newest first.
        references: by column, the values that it may have.
    """

    versions: list[Contract]
    landing: Landing
    key: Key | None
    references: Mapping[str, pl.Series]
    _validators: dict[tuple[str, tuple[str, ...]], Validator] = field(default_factory=dict)

    def validator(self, contract: Contract, header: list[str]) -> Validator:
        """The validator for files with this header.

        Raises:
            Rejected: the columns are not the contract's.
        """
        name = (contract.version, tuple(header))
        if name not in self._validators:
            check_header(contract, header)
            self._validators[name] = Validator(contract, header, self.references, self.key)
        return self._validators[name]


@dataclass(frozen=True)
class _Small:
    """A small file, read: its rows as bytes that end with a newline."""

    delivery: Delivery
    header: list[str]
    body: bytes


def match(known: Mapping[str, list[Contract]], file: File) -> Delivery:
    """A delivery with the source and slice that the file's path stands for, or with a reason."""
    for name, versions in known.items():
        for contract in versions:
            found = contract.slice(file.uri)
            if found:
                return Delivery(
                    file,
                    source=name,
                    slice=found,
                    contract_version=contract.version,
                    severity=contract.severity,
                )
    patterns = dict.fromkeys(c.path for versions in known.values() for c in versions)
    return Delivery(file, reason=f"the path matches no contract; known are {', '.join(patterns)}")


def receive(source: Source, deliveries: list[Delivery]) -> Iterator[Group | Alone | Refused]:
    """Read and check deliveries of one source, in order."""
    pending: list[_Small] = []
    for delivery in deliveries:
        small = None if delivery.reason else _read_small(source, delivery)
        if small is None:
            if pending:
                yield from _checked(source, pending)
                pending = []
            yield Refused(delivery) if delivery.reason else Alone(delivery)
            continue
        size = sum(len(item.body) for item in pending) + len(small.body)
        if pending and (small.header != pending[0].header or size > GROUP_BYTES):
            yield from _checked(source, pending)
            pending = []
        pending.append(small)
    if pending:
        yield from _checked(source, pending)


def check_header(contract: Contract, header: list[str]) -> None:
    """Raise Rejected, with the exact difference, unless the columns are the contract's."""
    expected = [column.name for column in contract.columns]
    missing = [name for name in expected if name not in header]
    added = [name for name in header if name not in expected]
    doubled = sorted({name for name in header if header.count(name) > 1})
    if contract.accepts_added_columns and not missing:
        added = []
    wrong = [
        f"{what}: {', '.join(printable(name) for name in names)}"
        for what, names in (("missing", missing), ("unknown", added), ("doubled", doubled))
        if names
    ]
    if wrong:
        renamed = len(missing) == len(added) == 1
        hint = f" (renamed from {missing[0]} to {printable(added[0])}?)" if renamed else ""
        raise Rejected(
            f"the columns are not those of contract {contract.source} {contract.version}: "
            + "; ".join(wrong)
            + hint
        )


def ahead(items: Iterator[T], depth: int = 2) -> Iterator[T]:
    """The items, made in a thread of their own, at most `depth` before they are wanted."""
    made: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue()
    room, stopped = threading.Semaphore(depth), threading.Event()

    def work() -> None:
        try:
            for item in items:
                made.put((item, None))
                room.acquire()
                if stopped.is_set():
                    return
            made.put((None, StopIteration()))
        except BaseException as error:  # handed to whoever waits for the items
            made.put((None, error))

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    try:
        while True:
            item, error = made.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            room.release()
            yield cast(T, item)
    finally:
        stopped.set()
        room.release()
        worker.join()


def _read_small(source: Source, delivery: Delivery) -> _Small | None:
    """The file, whole, if it is small plain CSV that fits the newest contract; else None."""
    contract, file = source.versions[0], delivery.file
    if file.size > SMALL_BYTES or contract.format != "csv":
        return None
    try:
        content = source.landing.read(file)
        delivery.sha256 = hashlib.sha256(content).hexdigest()
        stream = decoded(io.BytesIO(content), file.uri, contract)
        header = read_header(stream, contract.delimiter)
        body = stream.read(GROUP_BYTES + 1)
        source.validator(contract, header)
    except (OSError, Rejected, *BROKEN):
        return None
    if len(content) != file.size or len(body) > GROUP_BYTES:
        return None
    return _Small(delivery, header, body if body.endswith(b"\n") or not body else body + b"\n")


def _checked(source: Source, files: list[_Small]) -> Iterator[Group | Alone]:
    """One group of those that pass; the others are to be looked at alone."""
    contract, header = source.versions[0], files[0].header
    validator = source.validator(contract, header)
    deliveries = [item.delivery for item in files]
    records, broken = _cut(validator, files)
    days = [delivery.slice.date for delivery in deliveries if delivery.slice]
    checked = hold_repeated(validator.check(records, days), constraints(contract, header))
    for delivery in deliveries:
        delivery.start_over(contract)
        delivery.added_columns = tuple(n for n in header if n not in validator.loaded)
    note(validator, deliveries, records, checked)
    for file, line, text, reason in broken:
        deliveries[file].quarantined.add(line, validator.quote(text), [reason])
    try:
        for delivery in deliveries:
            check_counts(contract, delivery)
    except Rejected:  # one by one, so that the order of deliveries stays that of their paths
        yield from (Alone(delivery) for delivery in deliveries)
        return
    yield Group(validator, deliveries, checked, records.verbatim)


def _cut(
    validator: Validator, files: list[_Small]
) -> tuple[Records, list[tuple[int, int, str, str]]]:
    """The records of all files, with their file and line; and the broken ones."""
    if not any(b'"' in item.body for item in files):
        whole = cut(b"".join(item.body for item in files), 2, validator.layout)
        if whole.verbatim:
            counts = [item.body.count(b"\n") for item in files]
            frame = whole.frame.with_columns(
                file=pl.Series(range(len(files)), dtype=pl.UInt32)
                .repeat_by(pl.Series(counts))
                .explode(),
                line=pl.concat(
                    [pl.int_range(2, 2 + n, dtype=pl.Int64, eager=True) for n in counts]
                ),
            )
            return replace(whole, frame=frame), []
    layout = replace(validator.layout, numbers=())
    frames, broken, verbatim = [], [], True
    for n, item in enumerate(files):
        records = cut(item.body, 2, layout)
        verbatim &= records.verbatim
        frames.append(records.frame.with_columns(file=pl.lit(n, pl.UInt32)))
        broken += [(n, line, text, reason) for line, text, reason in records.broken]
    return Records(pl.concat(frames), [], verbatim, typed=False), broken
