"""After the fact: what was held back is loaded, what should not have been is taken out."""

from __future__ import annotations

from tests.ingest.given import contract, count, land, outcomes, sale
from tests.support.checkout import Checkout
from tests.support.files import HEADER, reading

DELIVERIES = "select delivery_id from ops.deliveries order by 1"
ACTIVE = "select delivery_id from ops.active_deliveries"


def test_a_mended_contract_and_a_replay_load_what_was_held_back(empty: Checkout) -> None:
    path = contract(empty)
    land(empty, "sales/2026-01-01.csv", sale(1, amount=-1), sale(2))
    land(empty, "sales/2026-01-02.csv", sale(3, amount=-1), sale(4, amount=-1))
    empty.call("ingest", code=4)
    assert outcomes(empty) == [("loaded", 1, 1), ("rejected", 0, 0)]
    first, second = (number for (number,) in empty.query(DELIVERIES))
    said = empty.call("quarantine")
    assert (
        f"rejected delivery {second} sales/2026-01-02.csv: 2 of 2 rows break the contract" in said
    )
    held = f"1 rows of sales, from delivery {first} on: amount: '...' is below the minimum 0"
    assert held in said
    assert sale(1, amount=-1) in said
    assert said.count("rejected delivery") == said.count("rows of") == 1
    mended = path.read_text().replace("minimum: 0", "minimum: -5").replace("1.0.0", "1.1.0")
    path.write_text(mended)
    assert "nothing new has landed" in empty.call("ingest"), "nothing is loaded again unasked"
    empty.call("replay", "--source", "sales", "--reason", "refunds are legal")
    assert outcomes(empty)[2:] == [("loaded", 2, 0)] * 2
    (_, _, *again) = (number for (number,) in empty.query(DELIVERIES))
    replays = "select delivery_id, replay_of, contract_version from ops.deliveries"
    assert empty.query(f"{replays} where replay_of is not null order by 1") == [
        (again[0], first, "1.1.0"), (again[1], second, "1.1.0"),
    ]  # fmt: skip
    assert "nothing is held back" in empty.call("quarantine")
    assert count(empty, f"raw.sales where _delivery_id in ({ACTIVE})") == 4
    audit = "select who, action, delivery_id, reason from ops.audit_log order by delivery_id"
    assert empty.query(audit) == [
        ("tester", "replay", number, "refunds are legal") for number in again
    ]
    assert "nothing new has landed" in empty.call("ingest")
    assert len(outcomes(empty)) == 4


def test_a_replay_without_the_file_says_so(empty: Checkout) -> None:
    contract(empty)
    land(empty, "sales/2026-01-01.csv", sale(1))
    empty.call("ingest")
    (empty.landing / "sales/2026-01-01.csv").unlink()
    said = empty.call("replay", "--delivery", "1", "--reason", "", code=2)
    assert "no longer where it landed" in said
    assert outcomes(empty) == [("loaded", 1, 0)]


def test_a_withdrawn_delivery_gives_way_to_the_one_before(empty: Checkout) -> None:
    for rain in (0, 3):
        empty.deliver([HEADER, reading(rain=rain)])
        empty.call("ingest")
    assert empty.query(ACTIVE) == [(2,)]
    empty.call("withdraw", "--delivery", "2", "--reason", "a wrong correction")
    assert empty.query(ACTIVE) == [(1,)]
    pinned = "select delivery_id from ops.active_deliveries_as_of(2)"
    assert empty.query(pinned) == [(2,)], "a pinned run goes on"
    empty.deliver([HEADER, reading(rain=3)])
    empty.call("ingest")
    assert outcomes(empty)[-1][0] == "duplicate"
    assert empty.query(ACTIVE) == [(1,)], "the same bytes do not bring it back"
