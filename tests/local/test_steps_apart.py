"""A step in a process of its own, as a task of Prefect's has it, where none stands ready for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psutil
import pytest

# Only a task of Prefect's calls this, and its runs come with a process that stands ready.
from orchestration import apart
from orchestration.errors import StepTimedOut, UsageError
from orchestration.settings import Settings
from tests.support.checkout import Checkout

Heard = list[dict[str, Any]]


@pytest.fixture
def given(empty: Checkout, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings that a process of its own finds in its environment."""
    with monkeypatch.context() as patched:
        for name, value in empty.variables.items():
            patched.setenv(name, value)
        yield empty.settings


def test_a_step_returns_and_its_words_are_heard(given: Settings) -> None:
    heard: Heard = []
    assert apart.perform(given, "plan", heard=heard.append) is None
    assert any("nothing was delivered" in message.get("said", "") for message in heard)


def test_an_error_keeps_its_kind_and_what_to_do(given: Settings) -> None:
    with pytest.raises(UsageError, match="is empty") as found:
        apart.perform(given, "take_in", ["readings"], heard=print)
    assert "make land" in found.value.todo


def test_a_step_out_of_time_leaves_no_process(given: Settings, empty: Checkout) -> None:
    before = set(psutil.Process().children())
    # It cannot come to its end by itself.
    with (
        empty.locked("ops.runs"),
        pytest.raises(StepTimedOut, match=r"Step plan took more than 0\.1 seconds"),
    ):
        apart.perform(given, "plan", heard=print, seconds=0.1)
    assert set(psutil.Process().children()) <= before
