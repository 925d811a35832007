"""Step ingest: landed files -> `raw`, `quarantine`, `ops.deliveries`.

One transaction per delivery holds its rows, its quarantined rows and its ledger row. Killed at any
point: the delivery that was under way left nothing, those before it are complete, and the same
command goes on with the rest.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import IO, cast

import polars as pl
import psycopg
from psycopg import sql

from orchestration import console, contracts, database, raw
from orchestration.contracts import Contract
from orchestration.errors import UsageError
from orchestration.framing import Records, UnreadableFile, printable, read_header, read_records
from orchestration.landing import File, Landing
from orchestration.settings import Settings
from orchestration.validate import Validator

UNMATCHED = "unmatched"


@dataclass
class Delivery:
    """One landed file and what became of it; a row of `ops.deliveries`."""

    file: File
    started_at: datetime
    source: str = UNMATCHED
    slice_date: date | None = None
    sha256: str | None = None
    contract_version: str | None = None
    outcome: str = "rejected"
    reason: str | None = None
    duplicate_of: int | None = None
    rows_loaded: int = 0
    rows_quarantined: int = 0
    quarantined: list[tuple[int, str, list[str]]] = field(default_factory=list, repr=False)

    @property
    def rows_received(self) -> int:
        return self.rows_loaded + self.rows_quarantined


class Rejected(Exception):
    """This delivery loads nothing; the message is the reason."""


def ingest(settings: Settings, connection: database.Connection) -> list[Delivery]:
    """Take in every landed file that was not looked at yet, oldest path first.

    Raises:
        UsageError: a contract cannot be read, or nothing has ever landed.
        WarehouseBusy: another ingest is active.
    """
    known_contracts = contracts.load_all(settings.project / "contracts")
    landing = Landing.at(settings.landing_url)
    with database.only_one(connection, "ingest"):
        for contract in known_contracts:
            raw.prepare(connection, contract)
        listed = landing.files()
        seen = set(connection.execute("select uri, file_version from ops.deliveries"))
        if not listed and not seen:
            raise UsageError(
                f"The landing place {landing.url} is empty.",
                kept="Nothing was changed.",
                todo="Put files there as contracts/ say, or run `make land` for the demo's.",
            )
        new = [file for file in listed if (file.uri, file.version) not in seen]
        return list(_take_in(connection, landing, known_contracts, new))


def _take_in(
    connection: database.Connection,
    landing: Landing,
    known_contracts: list[Contract],
    files: list[File],
) -> Iterator[Delivery]:
    with console.progress("ingest", "loading deliveries", len(files)) as advance:
        for file in files:
            delivery = Delivery(file, datetime.now(UTC))
            try:
                _receive(connection, landing, known_contracts, delivery)
            except FileNotFoundError:
                console.say("ingest", f"{file.uri}: gone since it was listed; nothing to record")
                continue
            except Rejected as refusal:
                _reject(connection, delivery, str(refusal))
            yield delivery
            advance(1, file.uri)


def _receive(
    connection: database.Connection,
    landing: Landing,
    known_contracts: list[Contract],
    delivery: Delivery,
) -> None:
    contract = _match(known_contracts, delivery)
    delivery.source, delivery.contract_version = contract.source, contract.version
    delivery.sha256 = landing.sha256(delivery.file)
    same = connection.execute(
        "select delivery_id, uri from ops.deliveries"
        " where source = %s and sha256 = %s and outcome = 'loaded'",
        [delivery.source, delivery.sha256],
    ).fetchone()
    if same:
        delivery.outcome, delivery.duplicate_of = "duplicate", same[0]
        delivery.reason = f"the same bytes as delivery {same[0]} ({same[1]})"
        with connection.transaction():
            _record(connection, _next_id(connection), delivery)
        return
    try:
        with landing.open(delivery.file) as stream, connection.transaction():
            _load(connection, _decompressed(stream, delivery.file.uri), contract, delivery)
    except (UnreadableFile, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Rejected(f"the file cannot be read: {error}") from error
    except psycopg.DataError as error:
        raise Rejected(f"PostgreSQL refuses a value that the contract allows: {error}") from error


def _match(known_contracts: list[Contract], delivery: Delivery) -> Contract:
    for contract in known_contracts:
        delivery.slice_date = contract.slice_date(delivery.file.uri)
        if delivery.slice_date:
            return contract
    patterns = ", ".join(contract.path for contract in known_contracts)
    raise Rejected(f"the path matches no contract; known are {patterns}")


def _decompressed(stream: IO[bytes], uri: str) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(stream)) if uri.endswith(".gz") else stream


def _load(
    connection: database.Connection, stream: IO[bytes], contract: Contract, delivery: Delivery
) -> None:
    header = read_header(stream, contract.delimiter)
    _check_header(contract, header)
    delivery_id = _next_id(connection)
    slice_date = cast(date, delivery.slice_date)
    validator = Validator(contract, header, slice_date)
    copy = sql.SQL("copy {} ({}) from stdin (format csv, delimiter {}, null {})").format(
        database.relation("raw", contract.source),
        sql.SQL(", ").join(map(sql.Identifier, (*header, *raw.LINEAGE))),
        sql.Literal(contract.delimiter),
        sql.Literal(contract.null_text),
    )
    lineage = f"{delivery_id}{contract.delimiter}{slice_date}{contract.delimiter}"
    with connection.cursor() as cursor, cursor.copy(copy) as rows:
        for records in read_records(stream, contract.delimiter, len(header)):
            good = _keep_bad_rows(validator, records, delivery)
            delivery.rows_loaded += good.height
            rows.write(_as_csv(good, validator, records.verbatim, lineage, contract))
    _check_counts(contract, delivery)
    _quarantine(connection, delivery_id, delivery)
    delivery.outcome = "loaded"
    _record(connection, delivery_id, delivery)


def _check_header(contract: Contract, header: list[str]) -> None:
    expected = [column.name for column in contract.columns]
    missing = [name for name in expected if name not in header]
    added = [name for name in header if name not in expected]
    doubled = sorted({name for name in header if header.count(name) > 1})
    wrong = [
        f"{what}: {', '.join(printable(name) for name in names)}"
        for what, names in (("missing", missing), ("unknown", added), ("doubled", doubled))
        if names
    ]
    if wrong:
        raise Rejected(
            f"the columns are not those of contract {contract.source} {contract.version}: "
            + "; ".join(wrong)
        )


def _keep_bad_rows(validator: Validator, records: Records, delivery: Delivery) -> pl.DataFrame:
    checked = validator.check(records.frame)
    bad = [(line, raw, [reason]) for line, raw, reason in records.broken]
    bad.extend(checked.bad.iter_rows())
    delivery.rows_quarantined += len(bad)
    delivery.quarantined.extend(bad)
    return checked.good


def _as_csv(
    good: pl.DataFrame, validator: Validator, verbatim: bool, lineage: str, contract: Contract
) -> bytes:
    line = pl.col("line").cast(pl.String)
    if verbatim and validator.verbatim:
        text = pl.concat_str(pl.col("raw"), pl.lit(contract.delimiter + lineage), line)
        return good.select(text).write_csv(include_header=False, quote_style="never").encode()
    delivery_id, slice_date, _ = lineage.split(contract.delimiter)
    texts = [*validator.texts(), pl.lit(delivery_id).alias("_delivery_id")]
    texts += [pl.lit(slice_date).alias("_slice_date"), line.alias("_line")]
    return (
        good.select(texts)
        .write_csv(
            include_header=False, separator=contract.delimiter, null_value=contract.null_text
        )
        .encode()
    )


def _check_counts(contract: Contract, delivery: Delivery) -> None:
    if delivery.rows_received < contract.min_rows:
        raise Rejected(
            f"it has {delivery.rows_received} rows, but the contract wants {contract.min_rows}"
        )
    share = delivery.rows_quarantined / max(delivery.rows_received, 1)
    if share > contract.max_quarantined_share:
        line, _, reasons = delivery.quarantined[0]
        raise Rejected(
            f"{delivery.rows_quarantined} of {delivery.rows_received} rows break the contract,"
            f" more than {contract.max_quarantined_share:.0%}; the first is line {line}: "
            + "; ".join(reasons)
        )


def _quarantine(connection: database.Connection, delivery_id: int, delivery: Delivery) -> None:
    if not delivery.quarantined:
        return
    copy = sql.SQL("copy {} (delivery_id, line, raw_text, reasons) from stdin").format(
        database.relation("quarantine", delivery.source)
    )
    with connection.cursor() as cursor, cursor.copy(copy) as rows:
        for line, raw, reasons in delivery.quarantined:
            rows.write_row((delivery_id, line, raw, reasons))


def _reject(connection: database.Connection, delivery: Delivery, reason: str) -> None:
    delivery.outcome, delivery.reason = "rejected", reason
    delivery.rows_loaded = delivery.rows_quarantined = 0
    with connection.transaction():
        _record(connection, _next_id(connection), delivery)


def _next_id(connection: database.Connection) -> int:
    row = connection.execute("select nextval('ops.delivery_ids')").fetchone()
    return int(row[0]) if row else 0


def _record(connection: database.Connection, delivery_id: int, delivery: Delivery) -> None:
    connection.execute(
        """
        insert into ops.deliveries (
            delivery_id, source, slice_date, uri, file_version, size_bytes, sha256,
            contract_version, outcome, reason, duplicate_of,
            rows_received, rows_loaded, rows_quarantined, started_at
        ) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        [
            delivery_id, delivery.source, delivery.slice_date, delivery.file.uri,
            delivery.file.version, delivery.file.size, delivery.sha256,
            delivery.contract_version, delivery.outcome, delivery.reason, delivery.duplicate_of,
            delivery.rows_received, delivery.rows_loaded, delivery.rows_quarantined,
            delivery.started_at,
        ],
    )  # fmt: skip
