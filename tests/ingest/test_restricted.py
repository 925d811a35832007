"""Restricted columns: no value of theirs reaches a table, a file or the terminal."""

from __future__ import annotations

from pathlib import Path

from tests.ingest.given import HEADER, contract, count, land, outcomes, rows, sale
from tests.support.checkout import Checkout

RESTRICTED = ", classification: restricted, logicalTypeOptions: {pattern: '^P-[0-9]{4}'}"
NOTE = "      - {name: note, logicalType: string}"
KEY = "k" * 16
FILE = "sales/2026-01-01.csv"


def everything(made: Checkout) -> str:
    """What tables hold, what commands said, and what they wrote into files of their own."""
    tables = ("raw.sales", "quarantine.sales", "ops.deliveries")
    found = [str(made.query(f"select t::text from {table} t")) for table in tables]
    told = [*made.folder.glob("said-*"), *made.var.rglob("*")]
    return "".join(found + [p.read_text(errors="replace") for p in told if p.is_file()])


def test_values_become_tokens_before_they_reach_a_table(empty: Checkout) -> None:
    contract(empty, name_extra=RESTRICTED)
    land(empty, FILE, sale(1, "P-1234"), sale(2, ""))
    empty.variables["TOKEN_KEY"] = KEY
    empty.call("ingest")
    assert outcomes(empty) == [("loaded", 2, 0)]
    ((first,), (second,)) = rows(empty, "name")
    assert (str(first)[8], len(str(first))) == (":", 8 + 1 + 32)
    assert second is None
    assert "P-1234" not in everything(empty)
    assert KEY not in everything(empty) + repr(empty.settings)


def test_neither_quarantine_nor_reasons_hold_a_value(empty: Checkout) -> None:
    contract(empty, name_extra=RESTRICTED, more=NOTE)
    good = (f"{sale(n, 'P-1234')},ok" for n in range(10, 20))
    bad = (
        f"{sale(1, 'Q-9876')},x", f"{sale(2, 'P-4321', -1)},x",
        f"{sale(3, 'P-1111')},P-5555 moved", "4,P-7777",
    )  # fmt: skip
    land(empty, FILE, *good, *bad, header=f"{HEADER},note")
    empty.call("ingest", TOKEN_KEY=KEY)
    assert outcomes(empty) == [("loaded", 10, 4)]
    empty.call("quarantine")
    held = empty.query("select raw_text, reasons from quarantine.sales order by line")
    assert {text for text, _ in held} == {"(withheld: the source has restricted columns)"}
    assert held[2][1] == ["note: holds what looks like name, a restricted one"]
    found = everything(empty)
    for value in ("P-1234", "Q-9876", "P-4321", "P-1111", "P-5555", "P-7777"):
        assert value not in found


def test_without_a_key_nothing_is_loaded(empty: Checkout) -> None:
    contract(empty, name_extra=RESTRICTED)
    land(empty, FILE, sale(1, "P-1234"), sale(2, ""))
    said = empty.call("ingest", code=2)
    assert "no key of 16 characters" in said
    assert count(empty, "raw.sales") == 0
    assert outcomes(empty) == []


def test_a_rotated_key_gives_other_tokens_with_another_id(empty: Checkout, tmp_path: Path) -> None:
    contract(empty, name_extra=RESTRICTED)
    land(empty, FILE, sale(1, "P-1234"), sale(2, ""))
    empty.call("ingest", TOKEN_KEY=KEY)
    file = tmp_path / "key"
    file.write_text("another key, kept in a file\n")
    empty.variables["TOKEN_KEY_FILE"] = str(file)
    empty.call("replay", "--delivery", "1", "--reason", "rotation")
    ids = [str(name).split(":")[0] for (name,) in rows(empty, "name") if name]
    assert len(ids) == len(set(ids)) == 2
    assert "another key" not in everything(empty) + repr(empty.settings)
