"""Write checked rows to `raw`, what was held back to `quarantine`, and the ledger: one transaction.

A group of small deliveries shares a transaction, a large one has its own. Killed: all of it
happened or none of it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl
import psycopg
from psycopg import sql

from orchestration import database
from orchestration.ingesting import raw
from orchestration.ingesting.contracts import Contract
from orchestration.ingesting.deliveries import Delivery, Rejected, claim, record, take_ids
from orchestration.ingesting.framing import Records
from orchestration.ingesting.spool import Spool
from orchestration.ingesting.validate import Checked, Validator


@dataclass(frozen=True)
class Group:
    """Deliveries of one contract and header, with all their checked rows.

    Attributes:
        verbatim: the good rows' raw texts may be handed to PostgreSQL as they are.
    """

    validator: Validator
    deliveries: list[Delivery]
    checked: Checked
    verbatim: bool


def load_group(connection: database.Connection, group: Group) -> list[Delivery]:
    """Load a group of small deliveries; returns those that were recorded."""
    with connection.transaction():
        fresh = claim(connection, group.deliveries)
        if not fresh:
            return []
        first_id = take_ids(connection, len(fresh))
        ids = {id(delivery): first_id + n for n, delivery in enumerate(fresh)}
        loading = [ids.get(id(d)) if d.outcome == "loaded" else None for d in group.deliveries]
        with _copy(connection, group.validator) as rows:
            frame = group.checked.good
            if None in loading:
                kept = [n for n, delivery_id in enumerate(loading) if delivery_id is not None]
                frame = frame.filter(pl.col("file").is_in(kept))
            rows.write(as_csv(frame, group.validator, group.verbatim, loading, group.deliveries))
        for delivery in fresh:
            if delivery.outcome == "duplicate":
                delivery.rows_loaded, delivery.quarantined = 0, Spool()
        _quarantine(connection, group.validator.contract, ids, fresh)
        record(connection, first_id, fresh)
    return fresh


def load_stream(
    connection: database.Connection,
    validator: Validator,
    delivery: Delivery,
    chunks: Iterable[tuple[Records, Checked]],
) -> bool:
    """Load one delivery chunk by chunk; False when somebody else recorded it meanwhile.

    Raises:
        Rejected: too many rows break the contract, or too few are there; nothing is loaded.
    """
    with connection.transaction():
        if not claim(connection, [delivery]):
            return False
        delivery_id = take_ids(connection, 1)
        if delivery.outcome == "loaded":
            with _copy(connection, validator) as rows:
                for records, checked in chunks:
                    note(validator, [delivery], records, checked)
                    text = as_csv(
                        checked.good, validator, records.verbatim, [delivery_id], [delivery]
                    )
                    rows.write(text)
            check_counts(validator.contract, delivery)
            ids = {id(delivery): delivery_id}
            _quarantine(connection, validator.contract, ids, [delivery])
        record(connection, delivery_id, [delivery])
    return True


def record_rejected(connection: database.Connection, delivery: Delivery) -> bool:
    """Record a delivery that loads nothing; False when somebody else recorded it meanwhile."""
    with connection.transaction():
        outcome, reason = delivery.outcome, delivery.reason
        if not claim(connection, [delivery]):
            return False
        if delivery.outcome == "loaded":
            delivery.outcome, delivery.reason = outcome, reason
        record(connection, take_ids(connection, 1), [delivery])
    return True


def note(
    validator: Validator, deliveries: list[Delivery], records: Records, checked: Checked
) -> None:
    """Add what was found in some records to their deliveries."""
    if len(deliveries) == 1:
        deliveries[0].rows_loaded += checked.good.height
    else:
        for file, count in checked.good.group_by("file").len().iter_rows():
            deliveries[file].rows_loaded += count
    for line, text, reason in records.broken:
        deliveries[0].quarantined.add(line, validator.quote(text), [reason])
    for file, line, text, reasons in checked.bad.iter_rows():
        deliveries[file].quarantined.add(line, text, reasons)
    for (file, name), count in checked.warnings.items():
        deliveries[file].warnings[name] += count


def check_counts(contract: Contract, delivery: Delivery) -> None:
    """Raise Rejected when a delivery's rows are too few, too many or too bad."""
    received = delivery.rows_received
    if received < contract.min_rows:
        raise Rejected(f"it has {received} rows, but the contract wants {contract.min_rows}")
    if contract.max_rows is not None and received > contract.max_rows:
        raise Rejected(f"it has {received} rows, but the contract allows {contract.max_rows}")
    share = delivery.rows_quarantined / max(received, 1)
    if share > contract.max_quarantined_share:
        line, reasons = delivery.quarantined.first or (0, [])
        raise Rejected(
            f"{delivery.rows_quarantined} of {received} rows break the contract,"
            f" more than {contract.max_quarantined_share:.0%}; the first is line {line}: "
            + "; ".join(reasons)
        )


def as_csv(
    good: pl.DataFrame,
    validator: Validator,
    verbatim: bool,
    ids: list[int | None],
    deliveries: list[Delivery],
) -> memoryview:
    """The rows as COPY wants them, with their lineage behind."""
    contract = validator.contract
    days = [delivery.slice.date.isoformat() if delivery.slice else "" for delivery in deliveries]
    out = io.BytesIO()
    if verbatim and validator.verbatim:
        between = [f"{n}{contract.delimiter}{day}" for n, day in zip(ids, days, strict=True)]
        frame = good.select("raw", _by_file(between).alias("between"), "line")
        # No quotes: the raw text holds the delimiters that PostgreSQL is to see.
        frame.write_csv(
            out, include_header=False, separator=contract.delimiter, quote_style="never"
        )
    else:
        frame = good.select(
            *validator.texts(),
            _by_file([str(n) for n in ids]).alias("_delivery_id"),
            _by_file(days).alias("_slice_date"),
            pl.col("line").alias("_line"),
        )
        frame.write_csv(
            out,
            include_header=False,
            separator=contract.delimiter,
            null_value=contract.null_text,
        )
    return out.getbuffer()


def _by_file(texts: list[str]) -> pl.Expr:
    if len(texts) == 1:
        return pl.lit(texts[0])
    return pl.col("file").replace_strict(dict(enumerate(texts)), return_dtype=pl.String)


@contextmanager
def _copy(connection: database.Connection, validator: Validator) -> Iterator[psycopg.Copy]:
    """COPY into the raw table of the validator's contract."""
    contract = validator.contract
    statement = sql.SQL("copy {} ({}) from stdin (format csv, delimiter {}, null {})").format(
        database.relation("raw", contract.source),
        sql.SQL(", ").join(map(sql.Identifier, (*validator.loaded, *raw.LINEAGE))),
        sql.Literal(contract.delimiter),
        sql.Literal(contract.null_text),
    )
    with connection.cursor() as cursor, cursor.copy(statement) as rows:
        yield rows


def _quarantine(
    connection: database.Connection,
    contract: Contract,
    ids: dict[int, int],
    deliveries: list[Delivery],
) -> None:
    if not any(delivery.rows_quarantined for delivery in deliveries):
        return
    copy = sql.SQL("copy {} (delivery_id, line, raw_text, reasons) from stdin").format(
        database.relation("quarantine", contract.source)
    )
    with connection.cursor() as cursor, cursor.copy(copy) as rows:
        for delivery in deliveries:
            for held in delivery.quarantined:
                rows.write_row((ids[id(delivery)], *held))
