"""Files of every format, version and encoding that contracts can ask for; no Python per source."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest
import zstandard

from orchestration import database
from orchestration.errors import DeliveryRejected, UsageError
from orchestration.ingesting.deliveries import Delivery
from orchestration.ingesting.ingest import ingest
from orchestration.ingesting.replay import quarantine, replay
from orchestration.planning import changes, standing
from orchestration.settings import Settings
from orchestration.verbs import say_rejected
from tests.flights import write

CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: {name}
name: {name}
version: {version}
status: active
servers:
  - {{server: landing, type: local, path: "{path}", format: {format}}}
schema:
  - name: {name}
    properties:
      - {{name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1}}
      - {{name: name, logicalType: string{name_extra}}}
      - {{name: amount, logicalType: number, logicalTypeOptions: {{minimum: 0}}}}
      - {{name: at, logicalType: timestamp, required: true{at_extra}}}
{more}
team: {{name: tests}}
customProperties:
  - {{property: maxQuarantinedShare, value: 0.5}}
{custom}
"""
GOOD: list[dict[str, object]] = [
    {"id": 1, "name": 'Zoë, the "first"', "amount": 1.5, "at": "2026-01-01 10:00:00"},
    {"id": 2, "name": None, "amount": None, "at": "2026-01-01 11:30:00"},
]


@pytest.fixture
def sales(empty_warehouse: Settings, tmp_path: Path) -> Settings:
    """An empty warehouse whose project has no contracts yet."""
    (tmp_path / "project/contracts").mkdir(parents=True)
    return replace(empty_warehouse, project=tmp_path / "project")


@pytest.fixture
def connection(sales: Settings) -> Iterator[database.Connection]:
    with database.connect(sales) as opened:
        yield opened


def contract(given: Settings, file: str = "sales", **changes: str) -> None:
    values = {
        "name": "sales", "version": "1.0.0", "format": "csv",
        "path": "sales/{yyyy}-{mm}-{dd}.csv", "name_extra": "", "at_extra": "", "more": "",
        "custom": "",
    }  # fmt: skip
    (given.project / f"contracts/{file}.yml").write_text(CONTRACT.format(**values | changes))


def custom(**properties: object) -> str:
    lines = (f"  - {{property: {k}, value: {json.dumps(v)}}}" for k, v in properties.items())
    return "\n".join(lines)


def land(given: Settings, name: str, content: bytes | str) -> None:
    write(Path(given.landing_url) / name, content.encode() if isinstance(content, str) else content)


def take(given: Settings, connection: database.Connection) -> Delivery:
    (delivery,) = ingest(given, connection)
    return delivery


def rows(
    connection: database.Connection, columns: str = "id, name, amount::float, at::text"
) -> list[tuple[object, ...]]:
    return connection.execute(
        f"select {columns} from raw.sales order by _delivery_id, _line"
    ).fetchall()


EXPECTED = [
    (1, 'Zoë, the "first"', 1.5, "2026-01-01 10:00:00+00"),
    (2, None, None, "2026-01-01 11:30:00+00"),
]
CSV = (
    'id;name;amount;at\n1;"Zoë, the ""first""";1.5;2026-01-01 10:00:00\n2;-;-;2026-01-01 11:30:00\n'
)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16", "cp1252"])
@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_csv_of_any_encoding_and_packing(
    sales: Settings, connection: database.Connection, encoding: str, packing: str
) -> None:
    contract(
        sales, path="sales/{yyyy}-{mm}-{dd}.csv" + packing,
        custom=custom(delimiter=";", nullText="-", encoding=encoding),
    )  # fmt: skip
    content = CSV.encode(encoding)
    path = Path(sales.landing_url) / f"sales/2026-01-01.csv{packing}"
    if packing == ".zst":
        content = zstandard.ZstdCompressor().compress(content)
    write(path, content)
    assert take(sales, connection).reason is None
    assert rows(connection) == EXPECTED


def test_json_lines(sales: Settings, connection: database.Connection) -> None:
    contract(sales, format="jsonl", path="sales/{yyyy}-{mm}-{dd}.jsonl.gz")
    bad = [
        "{",
        "[1]",
        '{"id": 3, "at": {"a": 1}}',
        '{"id": 4, "x": 1, "at": "2026-01-01 10:00:00"}',
    ]
    lines = [*(json.dumps(record) for record in GOOD), *bad]
    write(Path(sales.landing_url) / "sales/2026-01-01.jsonl.gz", lines[:3])
    first = take(sales, connection)
    assert (first.rows_loaded, first.rows_quarantined) == (2, 1)
    assert rows(connection) == EXPECTED
    held = connection.execute("select line, raw_text, reasons[1] from quarantine.sales").fetchall()
    assert held[0][:2] == (3, "{")
    assert held[0][2].startswith("is not JSON")
    write(Path(sales.landing_url) / "sales/2026-01-02.jsonl.gz", [*lines[:2] * 1, *lines[3:]])
    second = take(sales, connection)
    assert second.outcome == "rejected"
    assert "3 of 5 rows break the contract" in str(second.reason)


def test_parquet(sales: Settings, connection: database.Connection) -> None:
    contract(sales, format="parquet", path="sales/{yyyy}-{mm}-{dd}.parquet")
    frame = pl.DataFrame(GOOD).with_columns(pl.col("at").str.to_datetime(time_zone="UTC"))
    third: dict[str, object] = {**GOOD[0], "id": 3, "amount": -1.0}
    more = pl.DataFrame([third]).with_columns(pl.col("at").str.to_datetime(time_zone="UTC"))
    buffer = io.BytesIO()
    pl.concat([frame, more]).write_parquet(buffer)
    land(sales, "sales/2026-01-01.parquet", buffer.getvalue())
    delivery = take(sales, connection)
    assert (delivery.rows_loaded, delivery.rows_quarantined) == (2, 1), delivery.reason
    assert rows(connection) == EXPECTED
    land(sales, "sales/2026-01-02.parquet", buffer.getvalue()[:-10])
    assert "cannot be read" in str(take(sales, connection).reason)


@pytest.mark.parametrize(
    ("path", "file", "extra", "slice_"),
    [
        ("s/{yyyy}/{mm}.csv", "s/2024/02.csv", {}, (2024, 2, 1, 0, 29)),
        ("s/{yyyy}{mm}{dd}T{hh}.csv", "s/20260131T23.csv", {}, (2026, 1, 31, 23, 1)),
        ("s/all.csv", "s/all.csv", {"snapshot": True}, (1970, 1, 1, 0, 0)),
        ("s/{yyyy}.csv", "s/2026.csv", {"snapshot": True}, (2026, 1, 1, 0, 0)),
    ],
)
def test_the_path_gives_the_slice(
    sales: Settings, connection: database.Connection, path: str, file: str,
    extra: dict[str, object], slice_: tuple[int, ...],
) -> None:  # fmt: skip
    contract(sales, path=path, custom=custom(**extra))
    land(sales, file, "id,name,amount,at\n1,a,1,2026-01-01 10:00:00\n")
    found = take(sales, connection).slice
    assert found
    assert (found.date.year, found.date.month, found.date.day, found.hour, found.days) == slice_


def test_hours_of_a_day_stand_side_by_side(
    sales: Settings, connection: database.Connection
) -> None:
    contract(sales, path="s/{yyyy}-{mm}-{dd}T{hh}.csv")
    for hour in (1, 2):
        land(
            sales,
            f"s/2026-01-01T0{hour}.csv",
            f"id,name,amount,at\n{hour},a,1,2026-01-01 10:00:00\n",
        )
    ingest(sales, connection)
    active = connection.execute("select slice_hour from ops.active_deliveries order by 1")
    assert active.fetchall() == [(1,), (2,)]
    found = changes.differing(connection, standing.Standing(), 99, set())
    assert found["sales"] == {date(2026, 1, 1)}


def test_the_newest_version_that_fits_is_taken(
    sales: Settings, connection: database.Connection
) -> None:
    contract(sales, "sales-1.0.0")
    contract(
        sales, version="2.0.0",
        more="      - {name: shop, logicalType: string, required: true}",
    )  # fmt: skip
    land(sales, "sales/2026-01-01.csv", "id,name,amount,at\n1,a,1,2026-01-01 10:00:00\n")
    land(sales, "sales/2026-01-02.csv", "shop,id,name,amount,at\nX,1,a,1,2026-01-01 10:00:00\n")
    land(sales, "sales/2026-01-03.csv", "id,title,amount,at\n1,a,1,2026-01-01 10:00:00\n")
    first, second, third = sorted(ingest(sales, connection), key=lambda d: d.file.uri)
    assert (first.contract_version, second.contract_version) == ("1.0.0", "2.0.0")
    assert rows(connection, "shop, name") == [(None, "a"), ("X", "a")]
    assert third.outcome == "rejected"
    assert "sales 2.0.0: missing: name, shop; unknown: title" in str(third.reason)
    assert "sales 1.0.0: missing: name; unknown: title (renamed from name to title?)" in str(
        third.reason
    )


def test_two_versions_may_not_retype_a_column(
    sales: Settings, connection: database.Connection
) -> None:
    contract(sales, "sales-1.0.0", more="      - {name: n, logicalType: string}")
    contract(sales, version="2.0.0", more="      - {name: n, logicalType: integer}")
    with pytest.raises(UsageError, match=r"sales.n is text in version 1.0.0 and bigint"):
        ingest(sales, connection)


@pytest.mark.parametrize("quoted", [False, True])
def test_an_added_column_is_recorded_where_the_contract_accepts_it(
    sales: Settings, connection: database.Connection, quoted: bool
) -> None:
    contract(sales, custom=custom(addedColumns="accept"))
    name = '"a"' if quoted else "a"
    land(
        sales, "sales/2026-01-01.csv", f"new,id,name,amount,at\nx,1,{name},1,2026-01-01 10:00:00\n"
    )
    delivery = take(sales, connection)
    assert delivery.outcome == "loaded", delivery.reason
    assert rows(connection, "id, name") == [(1, "a")]
    recorded = connection.execute("select added_columns from ops.deliveries").fetchone()
    assert recorded == (["new"],)


def test_a_column_of_another_type_is_rejected_with_what_is_wrong(
    sales: Settings, connection: database.Connection
) -> None:
    contract(sales)
    land(sales, "sales/2026-01-01.csv", "id,name,amount,at\nA1,a,1,2026-01-01 10:00:00\n")
    assert "line 2: id: 'A1' is not a whole number" in str(take(sales, connection).reason)


def test_dates_of_another_format_are_loaded_as_meant(
    sales: Settings, connection: database.Connection
) -> None:
    contract(sales, at_extra=", logicalTypeOptions: {format: '%d/%m/%Y %H:%M'}")
    land(sales, "sales/2026-01-01.csv", "id,name,amount,at\n1,a,1.10,02/01/2026 10:30\n")
    assert take(sales, connection).outcome == "loaded"
    assert rows(connection, "at::text, amount::text") == [("2026-01-02 10:30:00+00", "1.10")]


def test_unique_patterns_references_and_warnings(
    sales: Settings, connection: database.Connection
) -> None:
    quality = (
        ", unique: true, quality: [{type: library, metric: invalidValues, severity: warning,"
        " mustBe: 0, arguments: {pattern: '^[a-z]+$'}}]"
    )
    shop = "      - {name: shop, logicalType: string, relationships: [{to: shops.shop}]}"
    contract(sales, name_extra=quality, more=shop)
    shops = CONTRACT.format(
        name="shops", version="1.0.0", path="shops.csv", format="csv", name_extra="",
        at_extra="", more="      - {name: shop, logicalType: string}", custom=custom(snapshot=True),
    )  # fmt: skip
    (sales.project / "contracts/shops.yml").write_text(shops)
    at = "2026-01-01 10:00:00"
    land(sales, "shops.csv", f"id,name,amount,at,shop\n1,a,1,{at},X\n")
    body = f"1,a,1,{at},X\n2,a,1,{at},X\n3,B,1,{at},X\n4,d,1,{at},Y\n5,e,1,{at},\n6,f,1,{at},X\n"
    land(sales, "sales/2026-01-01.csv", "id,name,amount,at,shop\n" + body)
    (delivery,) = [d for d in ingest(sales, connection) if d.source == "sales"]
    held = connection.execute("select line, reasons from quarantine.sales order by 1").fetchall()
    assert held == [
        (3, ["name: the same value as an earlier row"]),
        (5, ["shop: 'Y' is not a shops.shop"]),
    ]
    assert rows(connection, "id") == [(1,), (3,), (5,), (6,)]
    assert delivery.warnings == {"name does not match ^[a-z]+$": 1}


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"maxBytes": 30}, "it is longer than 30 bytes"),
        ({"maxRows": 1}, "it has 2 rows, but the contract allows 1"),
        ({"minRows": 3}, "it has 2 rows, but the contract wants 3"),
    ],
)
def test_limits_of_size_and_rows(
    sales: Settings, connection: database.Connection, properties: dict[str, object], reason: str
) -> None:
    contract(sales, custom=custom(**properties))
    at = "2026-01-01 10:00:00"
    land(sales, "sales/2026-01-01.csv", f"id,name,amount,at\n1,a,1,{at}\n2,b,1,{at}\n")
    assert reason in str(take(sales, connection).reason)


@pytest.mark.parametrize("severity", ["critical", "warning"])
def test_the_contract_says_whether_a_rejection_is_an_error(
    sales: Settings, connection: database.Connection, severity: str
) -> None:
    contract(sales, custom=custom(severity=severity))
    land(sales, "sales/2026-01-01.csv", "id\n1\n")
    delivery = take(sales, connection)
    assert delivery.outcome == "rejected"
    if severity == "critical":
        with pytest.raises(DeliveryRejected):
            say_rejected([delivery])
    else:
        say_rejected([delivery])


def test_a_decompression_bomb_stops_at_the_limit(
    sales: Settings, connection: database.Connection
) -> None:
    contract(sales, path="sales/{yyyy}-{mm}-{dd}.csv.gz", custom=custom(maxBytes=10_000_000))
    header = b"id,name,amount,at\n"
    path = Path(sales.landing_url) / "sales/2026-01-01.csv.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(header + b"1,aaaaaaaaa,1,2026-01-01 10:00:00\n" * 2_000_000, 9))
    delivery = take(replace(sales, settle_seconds=0), connection)
    assert "longer than 10,000,000 bytes" in str(delivery.reason)
    assert rows(connection) == []


def test_a_mended_contract_and_a_replay_load_what_was_held_back(
    sales: Settings, connection: database.Connection
) -> None:
    contract(sales)
    at = "2026-01-01 10:00:00"
    land(sales, "sales/2026-01-01.csv", f"id,name,amount,at\n1,a,-1,{at}\n2,b,1,{at}\n")
    land(sales, "sales/2026-01-02.csv", f"id,name,amount,at\n3,a,-1,{at}\n4,b,-1,{at}\n")
    first, second = ingest(sales, connection)
    assert (first.outcome, second.outcome) == ("loaded", "rejected")
    held = quarantine(connection, None)
    assert [r.uri for r in held.rejected] == ["sales/2026-01-02.csv"]
    assert [(r.reason, r.rows) for r in held.rows] == [("amount: '...' is below the minimum 0", 1)]
    text = (sales.project / "contracts/sales.yml").read_text()
    (sales.project / "contracts/sales.yml").write_text(
        text.replace("minimum: 0", "minimum: -5").replace("1.0.0", "1.1.0")
    )
    assert ingest(sales, connection) == [], "nothing is loaded again unasked"
    done = replay(sales, connection, delivery_id=None, source="sales", reason="refunds are legal")
    assert [(d.outcome, d.rows_loaded, d.replay_of) for d in done] == [
        ("loaded", 2, first.delivery_id), ("loaded", 2, second.delivery_id),
    ]  # fmt: skip
    held = quarantine(connection, None)
    assert (held.rejected, held.rows) == ([], [])
    active = connection.execute(
        "select count(*) from raw.sales where _delivery_id in"
        " (select delivery_id from ops.active_deliveries)"
    )
    assert active.fetchone() == (4,)
    audit = connection.execute("select who, action, delivery_id, reason from ops.audit_log")
    assert audit.fetchall() == [
        ("tester", "replay", d.delivery_id, "refunds are legal") for d in done
    ]
    assert ingest(sales, connection) == []


def test_a_replay_without_the_file_says_so(
    sales: Settings, connection: database.Connection
) -> None:
    contract(sales)
    land(sales, "sales/2026-01-01.csv", "id,name,amount,at\n1,a,1,2026-01-01 10:00:00\n")
    take(sales, connection)
    (Path(sales.landing_url) / "sales/2026-01-01.csv").unlink()
    with pytest.raises(UsageError, match="no longer where it landed"):
        replay(sales, connection, delivery_id=1, source=None, reason="")


class TestRestrictedColumns:
    EXTRA = ", classification: restricted, logicalTypeOptions: {pattern: '^P-[0-9]{4}'}"
    KEY = "k" * 16
    BODY = "id,name,amount,at\n1,P-1234,1,2026-01-01 10:00:00\n2,,1,2026-01-01 10:00:00\n"

    def everything(self, connection: database.Connection) -> str:
        found = []
        for table in ("raw.sales", "quarantine.sales", "ops.deliveries"):
            found += connection.execute(f"select t::text from {table} t").fetchall()
        return str(found)

    def test_values_become_tokens_before_they_reach_a_table(
        self, sales: Settings, connection: database.Connection
    ) -> None:
        given = replace(sales, token_key=self.KEY)
        contract(given, name_extra=self.EXTRA)
        land(given, "sales/2026-01-01.csv", self.BODY)
        assert take(given, connection).rows_loaded == 2
        ((first,), (second,)) = rows(connection, "name")
        assert str(first)[8] == ":"
        assert len(str(first)) == 8 + 1 + 32
        assert second is None
        assert "P-1234" not in self.everything(connection)

    def test_neither_quarantine_nor_reasons_hold_a_value(
        self, sales: Settings, connection: database.Connection, capsys: pytest.CaptureFixture[str]
    ) -> None:
        given = replace(sales, token_key=self.KEY)
        contract(
            given, name_extra=self.EXTRA, more="      - {name: note, logicalType: string}"
        )  # fmt: skip
        at = "2026-01-01 10:00:00"
        good = "".join(f"{n},P-1234,1,{at},ok\n" for n in range(10, 20))
        bad = f"1,Q-9876,1,{at},x\n2,P-4321,-1,{at},x\n3,P-1111,1,{at},P-5555 moved\n4,P-7777\n"
        land(given, "sales/2026-01-01.csv", "id,name,amount,at,note\n" + good + bad)
        delivery = take(given, connection)
        assert (delivery.rows_loaded, delivery.rows_quarantined) == (10, 4), delivery
        held = connection.execute("select raw_text, reasons from quarantine.sales order by line")
        texts, reasons = zip(*held.fetchall(), strict=True)
        assert set(texts) == {"(withheld: the source has restricted columns)"}
        assert reasons[2] == ["note: holds what looks like name, a restricted one"]
        for value in ("P-1234", "Q-9876", "P-4321", "P-1111", "P-5555", "P-7777"):
            assert value not in self.everything(connection) + str(delivery)
            assert value not in capsys.readouterr().out

    def test_without_a_key_nothing_is_loaded(
        self, sales: Settings, connection: database.Connection
    ) -> None:
        contract(sales, name_extra=self.EXTRA)
        land(sales, "sales/2026-01-01.csv", self.BODY)
        with pytest.raises(UsageError, match="no key of 16 characters"):
            ingest(sales, connection)
        assert rows(connection) == []

    def test_a_rotated_key_gives_other_tokens_with_another_id(
        self, sales: Settings, connection: database.Connection, tmp_path: Path
    ) -> None:
        contract(sales, name_extra=self.EXTRA)
        land(sales, "sales/2026-01-01.csv", self.BODY)
        take(replace(sales, token_key=self.KEY), connection)
        file = tmp_path / "key"
        file.write_text("another key, kept in a file\n")
        rotated = replace(sales, token_key_file=file)
        replay(rotated, connection, delivery_id=1, source=None, reason="rotation")
        ids = [str(name).split(":")[0] for (name,) in rows(connection, "name") if name]
        assert len(ids) == len(set(ids)) == 2
        assert "another key" not in repr(rotated)
