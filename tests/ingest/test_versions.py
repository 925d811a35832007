"""What a contract may say of files: versions, added columns, uniqueness, references, severity."""

from __future__ import annotations

from tests.ingest.given import (
    AT,
    HEADER,
    SHOP,
    contract,
    custom,
    held,
    land,
    outcomes,
    reason,
    rows,
    sale,
)
from tests.support.checkout import Checkout


def test_the_newest_version_that_fits_is_taken(empty: Checkout) -> None:
    contract(empty, file="sales-1.0.0")
    contract(empty, version="2.0.0", more=SHOP % ", required: true")
    land(empty, "sales/2026-01-01.csv", sale(1))
    land(empty, "sales/2026-01-02.csv", f"X,{sale(1)}", header=f"shop,{HEADER}")
    land(empty, "sales/2026-01-03.csv", sale(1), header="id,title,amount,at")
    empty.call("ingest", code=4)
    assert [outcome for outcome, *_ in outcomes(empty)] == ["loaded", "loaded", "rejected"]
    versions = "select contract_version from ops.deliveries where outcome = 'loaded' order by uri"
    assert empty.query(versions) == [("1.0.0",), ("2.0.0",)]
    assert rows(empty, "shop, name") == [(None, "a"), ("X", "a")]
    why = reason(empty, "sales/2026-01-03.csv")
    assert "sales 2.0.0: missing: name, shop; unknown: title" in why
    assert "sales 1.0.0: missing: name; unknown: title (renamed from name to title?)" in why


def test_two_versions_may_not_retype_a_column(empty: Checkout) -> None:
    contract(empty, file="sales-1.0.0", more="      - {name: n, logicalType: string}")
    contract(empty, version="2.0.0", more="      - {name: n, logicalType: integer}")
    said = empty.call("ingest", code=2)
    assert "sales.n is text in version 1.0.0 and bigint" in said


def test_an_added_column_is_recorded_where_the_contract_accepts_it(empty: Checkout) -> None:
    for source, name in (("plain", "a"), ("quoted", '"a"')):
        contract(empty, source, custom=custom(addedColumns="accept"))
        row = f"x,{sale(1, name)}"
        land(empty, f"{source}/2026-01-01.csv", row, header=f"new,{HEADER}")
    said = empty.call("ingest")
    assert "columns that no contract knows, not loaded: new" in said
    assert outcomes(empty) == [("loaded", 1, 0)] * 2
    for source in ("plain", "quoted"):
        assert rows(empty, "id, name", source) == [(1, "a")]
    assert empty.query("select added_columns from ops.deliveries") == [(["new"],)] * 2


def test_a_column_of_another_type_is_rejected_with_what_is_wrong(empty: Checkout) -> None:
    contract(empty)
    land(empty, "sales/2026-01-01.csv", sale("A1"))
    said = empty.call("ingest", code=4)
    assert "line 2: id: 'A1' is not a whole number" in said
    assert "line 2: id: 'A1' is not a whole number" in reason(empty, "sales/2026-01-01.csv")


def test_unique_patterns_references_and_warnings(empty: Checkout) -> None:
    quality = (
        ", unique: true, quality: [{type: library, metric: invalidValues, severity: warning,"
        " mustBe: 0, arguments: {pattern: '^[a-z]+$'}}]"
    )
    contract(empty, name_extra=quality, more=SHOP % ", relationships: [{to: shops.shop}]")
    contract(empty, "shops", path="shops.csv", more=SHOP % "", custom=custom(snapshot=True))
    with_shop = f"{HEADER},shop"
    land(empty, "shops.csv", f"{sale(1)},X", header=with_shop)
    sold = ((1, "a", "X"), (2, "a", "X"), (3, "B", "X"), (4, "d", "Y"), (5, "e", ""), (6, "f", "X"))
    lines = (f"{sale(n, name)},{shop}" for n, name, shop in sold)
    land(empty, "sales/2026-01-01.csv", *lines, header=with_shop)
    said = empty.call("ingest")
    assert outcomes(empty) == [("loaded", 1, 0), ("loaded", 4, 2)], "shops go first"
    assert [(line, reasons) for line, _, reasons in held(empty, "sales", 2)] == [
        (3, ["name: the same value as an earlier row"]),
        (5, ["shop: 'Y' is not a shops.shop"]),
    ]
    assert rows(empty, "id") == [(1,), (3,), (5,), (6,)]
    warnings = empty.value("select warnings from ops.deliveries where source = 'sales'")
    assert warnings == {"name does not match ^[a-z]+$": 1}
    assert "warning: 1 rows loaded although name does not match ^[a-z]+$" in said


def test_the_contract_says_whether_a_rejection_is_an_error(empty: Checkout) -> None:
    for severity, code in (("warning", 0), ("critical", 4)):
        contract(empty, severity, custom=custom(severity=severity))
        land(empty, f"{severity}/2026-01-01.csv", "1", header="id")
        said = empty.call("ingest", code=code)
        assert f"rejected: {severity}/2026-01-01.csv: " in said
        assert ("landed files were rejected" in said) == (severity == "critical")
    assert outcomes(empty) == [("rejected", 0, 0)] * 2


def test_what_only_warns_does_not_hide_what_is_an_error(empty: Checkout) -> None:
    for severity in ("warning", "critical"):
        contract(empty, severity, custom=custom(severity=severity))
        land(empty, f"{severity}/2026-01-01.csv", f"1,{AT}", header="id,at")
    said = empty.call("ingest", code=4)
    assert "1 landed files were rejected: critical/2026-01-01.csv" in said
