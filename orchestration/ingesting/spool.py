"""Rows that are held back, in memory while they are few and in a temporary file when they are many.

A temporary file has no name and is gone with the process.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator

_IN_MEMORY = 2**20


class Spool:
    """Line, text and reasons of rows, in the order they were added."""

    def __init__(self) -> None:
        self._file: tempfile.SpooledTemporaryFile[bytes] | None = None
        self._count = 0
        self.first: tuple[int, list[str]] | None = None

    def add(self, line: int, text: str, reasons: list[str]) -> None:
        if self._file is None:  # most deliveries hold back nothing
            self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
        self._file.write(json.dumps((line, text, reasons)).encode() + b"\n")
        self._count += 1
        if self.first is None or line < self.first[0]:
            self.first = (line, reasons)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[int, str, list[str]]]:
        if self._file is None:
            return
        self._file.seek(0)
        for row in self._file:
            line, text, reasons = json.loads(row)
            yield line, text, reasons
        self._file.seek(0, 2)

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()
