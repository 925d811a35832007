"""Where events go: lines of a file, or an address (OpenLineage's HTTP).

Appends to `var/lineage/events.jsonl`, or posts. Killed: what was not sent is sent by the next tell.
An address that does not answer, or is slow, is left alone for the rest of the process.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from orchestration.settings import Settings

Event = dict[str, Any]

_FAILURES = 2  # in a row, until nobody tries any more
_TIMEOUT = 2.0  # seconds, to connect and to answer
_BUDGET = 10.0  # seconds in all that a process spends on an address
_LARGEST = 64 * 2**20  # bytes of the file; then it begins anew, and the one before is kept


class Unreachable(Exception):
    """The events were not taken; they can be told later."""


class Transport(Protocol):
    """Takes events, or raises Unreachable."""

    def send(self, events: Sequence[Event]) -> None: ...


class File:
    """One event per line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, events: Sequence[Event]) -> None:
        text = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                if self._path.stat().st_size > _LARGEST:
                    self._path.replace(self._path.with_suffix(".jsonl.1"))
            with self._path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise Unreachable(f"{self._path}: {error.strerror}") from error


class Http:
    """One request per event, behind a breaker that lasts as long as the process."""

    def __init__(self, url: str) -> None:
        import requests  # here: most installations write a file

        self._url = url.rstrip("/") + "/api/v1/lineage"
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy or .netrc is not meant for it
        self._failed, self._spent = 0, 0.0

    def send(self, events: Sequence[Event]) -> None:
        for event in events:
            self._post(event)

    def _post(self, event: Event) -> None:
        import requests

        if self._failed >= _FAILURES:
            raise Unreachable("OPENLINEAGE_URL did not answer; not tried again in this process")
        if self._spent >= _BUDGET:
            raise Unreachable("OPENLINEAGE_URL is slow; not tried again in this process")
        began = time.monotonic()
        try:
            answer = self._session.post(self._url, json=event, timeout=_TIMEOUT)
        except requests.RequestException as error:
            self._failed += 1
            # Its text holds the address, and an address may hold a password.
            raise Unreachable(f"OPENLINEAGE_URL: {type(error).__name__}") from error
        finally:
            self._spent += time.monotonic() - began
        if answer.status_code >= 500 or answer.status_code in (401, 403, 404, 429):
            self._failed += 1
            raise Unreachable(f"OPENLINEAGE_URL answers {answer.status_code}")
        self._failed = 0  # an event that it will never take (400) is not worth another try


_open: dict[str, Http] = {}


def of(settings: Settings) -> Transport:
    """What the settings ask for; the same for the whole process."""
    if settings.openlineage_url is None:
        return File(settings.var / "lineage/events.jsonl")
    if settings.openlineage_url not in _open:
        _open[settings.openlineage_url] = Http(settings.openlineage_url)
    return _open[settings.openlineage_url]
