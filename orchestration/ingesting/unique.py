"""Find rows of one delivery that repeat a key, or a value that must be unique.

Pure. Small files are looked at whole. For a file of any size, hashes of all keys are kept (8 bytes
a row) and compared at its end; only if two are equal is the file read again, and then rows whose
hash was met twice are compared by their texts. No row is held back by a hash alone.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from typing import IO

import numpy as np
import polars as pl

from orchestration.ingesting.contracts import Contract
from orchestration.ingesting.validate import Checked

_SEPARATOR = "\x1f"
_BUCKETS = 64
_BUCKET_BYTES = 2**18
_EDGES = np.arange(1, _BUCKETS, dtype=np.uint64) << np.uint64(58)


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


class FirstPass:
    """Notes the hash of every key of a file that is too large to hold.

    Hashes are kept in buckets by their first bits, in memory while they are few and in temporary
    files when they are many, so that equal ones meet without all of them in memory at once.
    Leaving the context closes them.
    """

    def __init__(self, limits: list[Constraint]) -> None:
        self._limits = limits
        self._buckets = [
            [tempfile.SpooledTemporaryFile(max_size=_BUCKET_BYTES) for _ in range(_BUCKETS)]  # noqa: SIM115
            for _ in limits
        ]

    def __enter__(self) -> FirstPass:
        return self

    def __exit__(self, *_: object) -> None:
        for buckets in self._buckets:
            for bucket in buckets:
                bucket.close()

    def look(self, checked: Checked) -> Checked:
        for limit, buckets in zip(self._limits, self._buckets, strict=True):
            texts = checked.good.select(limit.text).to_series().drop_nulls()
            hashes = np.sort(texts.hash().to_numpy())
            ends = np.searchsorted(hashes, _EDGES)
            for bucket, start, end in zip(buckets, [0, *ends], [*ends, len(hashes)], strict=True):
                if start < end:
                    bucket.write(hashes[start:end].tobytes())
        return checked

    def repeated(self) -> list[set[int]]:
        """The hashes that were met more than once, for each constraint."""
        return [
            set().union(*(_repeated_in(bucket) for bucket in buckets)) for buckets in self._buckets
        ]


def _repeated_in(bucket: IO[bytes]) -> set[int]:
    bucket.seek(0)
    hashes = np.sort(np.frombuffer(bucket.read(), dtype=np.uint64))
    return set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())


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
