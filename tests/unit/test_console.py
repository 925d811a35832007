from __future__ import annotations

import pytest

from orchestration import console
from orchestration.errors import DeliveryRejected


def test_passwords_are_in_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    secret = "postgresql://ada:topsecret@db:5432/x password=topsecret TOKEN_KEY: topsecret"
    try:
        for kind in ("text", "json"):
            console.use(kind)
            console.say("up", secret)
            console.report(DeliveryRejected(secret, kept=secret, todo=secret))
    finally:
        console.use("text")
    said = capsys.readouterr()
    assert "db:5432" in said.out
    assert "topsecret" not in said.out + said.err
