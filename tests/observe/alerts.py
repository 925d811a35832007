"""What tests of alerts share: one made by hand, and what the ledger holds of alerts."""

from __future__ import annotations

import json
from typing import Any

from tests.support.checkout import Checkout, Rows


def alert(key: str = "late:tests", severity: str = "ticket") -> dict[str, Any]:
    return {
        "key": key, "severity": severity, "owner": "testers", "impact": "none",
        "what": "tests of 1 March have not arrived", "since": "2013-03-02T11:00:00+00:00",
        "runbook": "runbooks/source-late.md", "look": "make watch",
    }  # fmt: skip


def settle(made: Checkout, *found: dict[str, Any], role: str | None = None) -> None:
    """Let these be all that is wrong of what the tests look after."""
    with made.connect(role=role) as connection:
        connection.execute("select ops.settle_alerts('tests', %s::jsonb)", [json.dumps(found)])


def keys(made: Checkout) -> list[str]:
    """Of the open alerts."""
    return [key for (key,) in made.query("select key from ops.open_alerts order by key")]


def messages(made: Checkout) -> Rows:
    """Key, news and state of each, in their order."""
    return made.query(
        "select key, news, state from ops.alert_messages inner join ops.alerts using (alert_id)"
        " order by message_id"
    )


def promise_nothing(made: Checkout) -> None:
    """Let no source be late, so that there are no alerts but the test's own."""
    contract = (made.project / "contracts/readings.yml").read_text()
    promises = contract.partition("slaProperties:")[2].partition("customProperties:")[0]
    made.edit("contracts/readings.yml", f"slaProperties:{promises}", "")
    made.edit("contracts/readings.yml", "  - property: timeZone\n    value: America/New_York\n", "")
