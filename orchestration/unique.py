"""Find rows of one delivery that repeat a key, or a value that must be unique.

Pure. Small files are looked at whole. For a file of any size, hashes of all keys are kept (8 bytes
a row) and sorted once at its end; only if two are equal is the file read again, and then rows whose
hash was met twice are compared by their texts. No row is held back by a hash alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from orchestration.contracts import Contract
from orchestration.validate import Checked

_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Constraint:
    """Columns that together may not repeat, by position as text, and what to say if they do."""

    positions: tuple[str, ...]
    message: str

    @property
    def text(self) -> pl.Expr:
        """The columns as one text; null where any is null."""
        columns = [pl.col(position).cast(pl.String) for position in self.positions]
        return pl.concat_str(columns, separator=_SEPARATOR)


def constraints(contract: Contract, header: list[str]) -> list[Constraint]:
    """The primary key, and every column that must be unique."""
    position = {name: str(i) for i, name in enumerate(header)}
    groups = [contract.key, *((c.name,) for c in contract.columns if c.unique)]
    return [
        Constraint(
            tuple(position[name] for name in group),
            f"{', '.join(group)}: the same {'key' if group == contract.key else 'value'}"
            " as an earlier row",
        )
        for group in dict.fromkeys(groups)
        if set(group) <= set(position)
    ]


def hold_repeated(checked: Checked, limits: list[Constraint]) -> Checked:
    """Move rows that repeat an earlier row of the same file from good to bad."""
    for limit in limits:
        within = pl.concat_str(pl.col("file"), limit.text, separator=_SEPARATOR)
        texts = checked.good.select(within).to_series()
        checked = hold(checked, texts.is_not_null() & ~texts.is_first_distinct(), limit.message)
    return checked


def hold(checked: Checked, repeated: pl.Series, message: str) -> Checked:
    """Move the good rows that `repeated` marks to the bad ones."""
    if not repeated.any():
        return checked
    reason = pl.concat_list(pl.lit(message)).alias("reasons")
    moved = checked.good.filter(repeated).select("file", "line", "raw", reason)
    bad = pl.concat([checked.bad, moved])
    return Checked(checked.good.filter(~repeated), bad, checked.warnings)


@dataclass
class FirstPass:
    """Notes the hash of every key of a file that is too large to hold."""

    limits: list[Constraint]
    _hashes: list[list[np.ndarray]] = field(default_factory=list)

    def look(self, checked: Checked) -> Checked:
        self._hashes = self._hashes or [[] for _ in self.limits]
        for limit, hashes in zip(self.limits, self._hashes, strict=True):
            texts = checked.good.select(limit.text).to_series().drop_nulls()
            hashes.append(texts.hash().to_numpy())
        return checked

    def repeated(self) -> list[set[int]]:
        """The hashes that were met more than once, for each constraint."""
        found = []
        for hashes in self._hashes:
            every = np.concatenate(hashes) if hashes else np.empty(0, np.uint64)
            hashes.clear()
            every.sort()
            found.append(set(every[1:][every[1:] == every[:-1]].tolist()))
        return found


@dataclass
class SecondPass:
    """Compares, by text, the rows whose hash the first pass met more than once."""

    limits: list[Constraint]
    suspects: list[set[int]]
    _seen: set[tuple[int, str]] = field(default_factory=set)

    def look(self, checked: Checked) -> Checked:
        for n, (limit, hashes) in enumerate(zip(self.limits, self.suspects, strict=True)):
            if not hashes:
                continue
            texts = checked.good.select(limit.text).to_series()
            suspected = texts.hash().is_in(list(hashes)) & texts.is_not_null()
            repeated = [
                bool(is_suspected) and self._is_seen(n, text)
                for text, is_suspected in zip(texts, suspected, strict=True)
            ]
            checked = hold(checked, pl.Series(repeated, dtype=pl.Boolean), limit.message)
        return checked

    def _is_seen(self, constraint: int, text: str) -> bool:
        if (constraint, text) in self._seen:
            return True
        self._seen.add((constraint, text))
        return False
