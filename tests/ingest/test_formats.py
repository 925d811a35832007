"""Files of every format, encoding and packing that contracts can ask for; no Python per source."""

from __future__ import annotations

import gzip
import io
import json
from itertools import product

import polars as pl
import zstandard

from tests.ingest.given import (
    AT,
    HEADER,
    contract,
    count,
    custom,
    held,
    land,
    outcomes,
    reason,
    rows,
    sale,
)
from tests.support import files
from tests.support.checkout import Checkout

ALL = "id, name, amount::float, at::text"
GOOD: list[dict[str, object]] = [
    {"id": 1, "name": 'Zoë, the "first"', "amount": 1.5, "at": "2026-01-01 10:00:00"},
    {"id": 2, "name": None, "amount": None, "at": "2026-01-01 11:30:00"},
]
EXPECTED = [
    (1, 'Zoë, the "first"', 1.5, "2026-01-01 10:00:00+00"),
    (2, None, None, "2026-01-01 11:30:00+00"),
]
CSV = (
    'id;name;amount;at\n1;"Zoë, the ""first""";1.5;2026-01-01 10:00:00\n2;-;-;2026-01-01 11:30:00\n'
)


def test_csv_of_any_encoding_and_packing(empty: Checkout) -> None:
    sources = []
    for encoding, packing in product(("utf-8", "latin-1", "utf-16", "cp1252"), ("", "gz", "zst")):
        source = f"{encoding}_{packing or 'plain'}".replace("-", "_")
        name = "{yyyy}-{mm}-{dd}.csv" + (f".{packing}" if packing else "")
        properties = custom(delimiter=";", nullText="-", encoding=encoding)
        contract(empty, source, path=f"{source}/{name}", custom=properties)
        content = CSV.encode(encoding)
        if packing == "zst":
            content = zstandard.ZstdCompressor().compress(content)
        landed = name.format(yyyy="2026", mm="01", dd="01")
        files.write(empty.landing / source / landed, content)
        sources.append(source)
    empty.call("ingest")
    assert outcomes(empty) == [("loaded", 2, 0)] * 12
    for source in sources:
        assert rows(empty, ALL, source) == EXPECTED, source


def test_json_lines(empty: Checkout) -> None:
    contract(empty, format="jsonl", path="sales/{yyyy}-{mm}-{dd}.jsonl.gz")
    good = [json.dumps(record) for record in GOOD]
    bad = ["[1]", '{"id": 3, "at": {"a": 1}}', f'{{"id": 4, "x": 1, "at": "{AT}"}}']
    files.write(empty.landing / "sales/2026-01-01.jsonl.gz", [*good, "{"])
    files.write(empty.landing / "sales/2026-01-02.jsonl.gz", [*good, *bad])
    empty.call("ingest", code=4)
    assert outcomes(empty) == [("loaded", 2, 1), ("rejected", 0, 0)]
    assert rows(empty, ALL) == EXPECTED
    ((line, text, (found,)),) = held(empty, "sales")
    assert (line, text) == (3, "{")
    assert found.startswith("is not JSON")
    why = reason(empty, "sales/2026-01-02.jsonl.gz")
    assert "3 of 5 rows break the contract" in why


def test_parquet(empty: Checkout) -> None:
    contract(empty, format="parquet", path="sales/{yyyy}-{mm}-{dd}.parquet")
    records = [*GOOD, {**GOOD[0], "id": 3, "amount": -1.0}]
    buffer = io.BytesIO()
    at = pl.col("at").str.to_datetime(time_zone="UTC")
    pl.DataFrame(records).with_columns(at).write_parquet(buffer)
    files.write(empty.landing / "sales/2026-01-01.parquet", buffer.getvalue())
    files.write(empty.landing / "sales/2026-01-02.parquet", buffer.getvalue()[:-10])
    empty.call("ingest", code=4)
    assert outcomes(empty) == [("loaded", 2, 1), ("rejected", 0, 0)]
    assert rows(empty, ALL) == EXPECTED
    assert "cannot be read" in reason(empty, "sales/2026-01-02.parquet")


def test_dates_of_another_format_are_loaded_as_meant(empty: Checkout) -> None:
    contract(empty, at_extra=", logicalTypeOptions: {format: '%d/%m/%Y %H:%M'}")
    land(empty, "sales/2026-01-01.csv", sale(1, amount="1.10", at="02/01/2026 10:30"))
    empty.call("ingest")
    assert outcomes(empty) == [("loaded", 1, 0)]
    assert rows(empty, "at::text, amount::text") == [("2026-01-02 10:30:00+00", "1.10")]


def test_limits_of_size_and_rows(empty: Checkout) -> None:
    """A decompression bomb stops at the limit as well."""
    limits = {
        "long": ({"maxBytes": 30}, "it is longer than 30 bytes"),
        "many": ({"maxRows": 1}, "it has 2 rows, but the contract allows 1"),
        "few": ({"minRows": 3}, "it has 2 rows, but the contract wants 3"),
    }
    for source, (properties, _) in limits.items():
        contract(empty, source, custom=custom(**properties))
        land(empty, f"{source}/2026-01-01.csv", sale(1), sale(2))
    packed = "bombs/{yyyy}-{mm}-{dd}.csv.gz"
    contract(empty, "bombs", path=packed, custom=custom(maxBytes=10_000_000))
    bomb = empty.landing / "bombs/2026-01-01.csv.gz"
    bomb.parent.mkdir()
    bomb.write_bytes(gzip.compress(f"{HEADER}\n".encode() + f"{sale(1)}\n".encode() * 2_500_000))
    empty.call("ingest", code=4)
    for source, (_, expected) in limits.items():
        assert expected in reason(empty, f"{source}/2026-01-01.csv")
    assert "longer than 10,000,000 bytes" in reason(empty, "bombs/2026-01-01.csv.gz")
    assert outcomes(empty) == [("rejected", 0, 0)] * 4
    for source in (*limits, "bombs"):
        assert count(empty, f"raw.{source}") == 0
