"""Waiting for events, as long as the machine needs: a crowded one gets more time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_YARDSTICK_SECONDS = 0.01
_MEASURED_EVERY = 2.0


def slowness() -> float:
    """How many times longer work takes now than on an idle machine, at least 1."""
    began, worked = time.monotonic(), time.process_time()
    while time.process_time() - worked < _YARDSTICK_SECONDS:
        pass
    return max(1.0, (time.monotonic() - began) / _YARDSTICK_SECONDS)


class Deadline:
    """A number of seconds of an idle machine.

    Args:
        seconds: that it may take there; on a crowded machine it takes as much longer as work does.
    """

    def __init__(self, seconds: float) -> None:
        self._left, self._seen = seconds, time.monotonic()
        self._slowness, self._measured = 1.0, 0.0

    def is_over(self) -> bool:
        now = time.monotonic()
        if now - self._measured > _MEASURED_EVERY:
            self._slowness, self._measured = slowness(), now
        self._left -= (now - self._seen) / self._slowness
        self._seen = now
        return self._left < 0


def until(
    condition: Callable[[], T],
    seconds: float = 60,
    *,
    every: float = 0.02,
    otherwise: Callable[[], object] = lambda: "",
) -> T:
    """What `condition` gives once that is true.

    Args:
        every: seconds between two looks.
        otherwise: what to say when the time is over.
    """
    deadline = Deadline(seconds)
    while not (found := condition()):
        assert not deadline.is_over(), f"not within {seconds:g} s: {otherwise()}"
        time.sleep(every)
    return found
