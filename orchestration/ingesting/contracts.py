"""What we demand of each provider: the nouns that a contract is made of.

`contract_files` reads them from `contracts/`; `docs/contracts.md` lists what each property means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestration.watching.sla import Sla

TYPES = {
    "string": "text",
    "integer": "bigint",
    "number": "numeric",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamptz",
}
_DATE_PARTS = {
    "yyyy": r"(?P<yyyy>\d{4})",
    "mm": r"(?P<mm>\d{2})",
    "dd": r"(?P<dd>\d{2})",
    "hh": r"(?P<hh>[01]\d|2[0-3])",
}


@dataclass(frozen=True)
class Rule:
    """A pattern that a column's texts must match; one that warns lets the row load."""

    pattern: str
    warns: bool


@dataclass(frozen=True)
class Column:
    """One column of a source: what its texts must look like.

    Attributes:
        type: logical type of the standard: string, integer, number, boolean, date, timestamp.
        format: strftime format of dates and timestamps; a timestamp without zone is UTC.
        minimum, maximum: bounds, both allowed; numbers only.
        values: the only texts allowed; empty means any.
        references: (source, column) whose values this column's must be among.
        is_restricted: its values are tokenised before they reach any table or log.
    """

    name: str
    type: str
    required: bool
    unique: bool
    key_position: int | None
    minimum: float | None
    maximum: float | None
    max_length: int | None
    format: str | None
    values: tuple[str, ...]
    rules: tuple[Rule, ...]
    references: tuple[str, str] | None
    is_restricted: bool

    @property
    def sql_type(self) -> str:
        return TYPES[self.type]


@dataclass(frozen=True)
class Slice:
    """What a file's path says it holds.

    Attributes:
        days: how many days from `date` on; 0 for a full snapshot.
    """

    date: date
    hour: int
    days: int


@dataclass(frozen=True)
class Contract:
    """One version of what a source's files must look like.

    Attributes:
        path: pattern below LANDING_URL; {yyyy}, {mm}, {dd}, {hh} give the slice.
        row_date: the columns that hold a row's year, month and day; empty if rows have no date.
        max_quarantined_share: above this share of bad rows the whole delivery is rejected.
        max_bytes: largest size of a file, decompressed.
        accepts_added_columns: record columns that the contract does not know, instead of rejecting.
        severity: how bad it is for the source to fail: critical or warning.
        sla: when its slices are due; None where nothing was promised.
    """

    source: str
    version: str
    path: str
    format: str
    delimiter: str
    encoding: str
    null_text: str
    columns: tuple[Column, ...]
    row_date: tuple[str, ...]
    max_quarantined_share: float
    min_rows: int
    max_rows: int | None
    max_bytes: int
    accepts_added_columns: bool
    is_snapshot: bool
    severity: str
    owner: str
    file: Path
    sla: Sla | None = None

    @property
    def key(self) -> tuple[str, ...]:
        keyed = [column for column in self.columns if column.key_position]
        return tuple(c.name for c in sorted(keyed, key=lambda c: c.key_position or 0))

    @property
    def order(self) -> tuple[int, ...]:
        """The version as numbers, for sorting."""
        return tuple(int(part) for part in self.version.split("."))

    def slice(self, uri: str) -> Slice | None:
        """The slice that the path `uri` stands for; None when it is not this source's."""
        found = self._path_pattern.fullmatch(uri)
        if found is None:
            return None
        parts = {name: int(text) for name, text in found.groupdict().items()}
        try:
            first = date(parts.get("yyyy", 1970), parts.get("mm", 1), parts.get("dd", 1))
        except ValueError:  # 30 February
            return None
        return Slice(first, parts.get("hh", 0), self._days(parts, first))

    def _days(self, parts: dict[str, int], first: date) -> int:
        if self.is_snapshot:
            return 0
        if "dd" in parts:
            return 1
        next_month = (first.replace(day=1) + timedelta(32)).replace(day=1)
        return (next_month - first).days

    @cached_property
    def _path_pattern(self) -> re.Pattern[str]:
        pattern, seen = "", set()
        for piece in re.split(r"(\{\w+\})", self.path):
            part = piece.strip("{}")
            if piece == part:
                pattern += re.escape(piece)
            else:
                demand(part in _DATE_PARTS, f"servers[0].path has an unknown part {{{part}}}")
                pattern += f"(?P={part})" if part in seen else _DATE_PARTS[part]
                seen.add(part)
        return re.compile(pattern)


def demand(holds: bool, otherwise: str) -> None:
    """Raise ValueError with `otherwise` unless `holds`."""
    if not holds:
        raise ValueError(otherwise)
