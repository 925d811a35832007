"""A step in a process of its own, where no process stands ready for it."""

from __future__ import annotations

import time
from typing import Any

import psutil
import pytest

from orchestration import apart
from orchestration.errors import StepTimedOut, UsageError
from orchestration.settings import Settings

Heard = list[dict[str, Any]]


@pytest.fixture
def given(empty_warehouse: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings that a process of its own finds in its environment."""
    monkeypatch.setenv("WAREHOUSE_URL", str(empty_warehouse.warehouse_url))
    monkeypatch.setenv("VAR_DIR", str(empty_warehouse.var))
    monkeypatch.setenv("LANDING_URL", empty_warehouse.landing_url)
    return empty_warehouse


def test_a_step_returns_and_its_words_are_heard(given: Settings) -> None:
    heard: Heard = []
    assert apart.perform(given, "plan", heard=heard.append) is None
    assert any("nothing was delivered" in message.get("said", "") for message in heard)


def test_an_error_keeps_its_kind_and_what_to_do(given: Settings) -> None:
    with pytest.raises(UsageError, match="is empty") as found:
        apart.perform(given, "take_in", ["flights"], heard=print)
    assert "make land" in found.value.todo


def test_a_step_out_of_time_leaves_no_process(given: Settings) -> None:
    before = set(psutil.Process().children(recursive=True))
    started = time.monotonic()
    with pytest.raises(StepTimedOut, match=r"Step plan took more than 0\.1 seconds"):
        apart.perform(given, "plan", heard=print, seconds=0.1)
    assert time.monotonic() - started < 10
    assert set(psutil.Process().children(recursive=True)) <= before
