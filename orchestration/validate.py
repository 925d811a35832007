"""Check records against a contract: every rule, every row, every reason.

A pure step: reads frames of texts, returns frames; touches neither files nor the warehouse.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import polars as pl

from orchestration.contracts import Column, Contract

_KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "date": "a date",
    "timestamp": "a point in time",
}
# Texts of these formats mean the same to PostgreSQL and may be handed to it as they are.
_ISO_FORMATS = {"date": {"%Y-%m-%d"}, "timestamp": {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S"}}
_TRUTHS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


@dataclass(frozen=True)
class Checked:
    """One chunk's rows after validation.

    Attributes:
        good: the rows that passed, with the columns they came with.
        bad: `line`, `raw` and `reasons` (list of String) of the others.
    """

    good: pl.DataFrame
    bad: pl.DataFrame


class Validator:
    """The rules of one contract for one delivery; remembers the keys it has seen.

    Args:
        header: the file's column names, in the file's order.
    """

    def __init__(self, contract: Contract, header: list[str], slice_date: date) -> None:
        self._contract = contract
        self._position = {name: str(i) for i, name in enumerate(header)}
        self._rules = self._row_rules(slice_date)
        self._seen: list[pl.Series] = []

    def check(self, frame: pl.DataFrame) -> Checked:
        """Split `frame` (columns `line`, `raw`, `0`, `1`, ...) into good and bad rows."""
        typed = frame.with_columns(
            _typed(self._text(column), column).alias(f"={column.name}")
            for column in self._contract.columns
        )
        failing = typed.select(pl.any_horizontal(fails for fails, _ in self._rules)).to_series()
        bad = typed.filter(failing)
        good = frame if bad.is_empty() else frame.filter(~failing)
        doubled = self._doubled(good)
        if doubled.any():
            again = pl.lit(f"{', '.join(self._contract.key)}: the same key as an earlier row")
            twice = good.filter(doubled).select("line", "raw", reasons=pl.concat_list(again))
            good = good.filter(~doubled)
        else:
            twice = pl.DataFrame(schema=_BAD)
        return Checked(good, pl.concat([bad.select("line", "raw", self._reasons()), twice]))

    def texts(self) -> list[pl.Expr]:
        """The columns, in the file's order, as texts that mean the same to PostgreSQL."""
        columns = {column.name: column for column in self._contract.columns}
        return [self._canonical(columns[name]) for name in self._position]

    @property
    def verbatim(self) -> bool:
        """PostgreSQL reads the raw texts of every column as the contract means them."""
        return all(
            column.format in _ISO_FORMATS[column.type] if column.type in _ISO_FORMATS else True
            for column in self._contract.columns
        )

    def _row_rules(self, slice_date: date) -> list[tuple[pl.Expr, pl.Expr]]:
        rules = [r for column in self._contract.columns for r in self._column_rules(column)]
        parts = (slice_date.year, slice_date.month, slice_date.day)
        for name, part in zip(self._contract.row_date, parts, strict=False):
            wrong = pl.col(f"={name}") != part
            rules.append((wrong, self._message(name, f"is not {part}, as the file's date says")))
        return rules

    def _column_rules(self, column: Column) -> list[tuple[pl.Expr, pl.Expr]]:
        text, value = self._text(column), pl.col(f"={column.name}")
        rules = []
        if column.required:
            missing = text.is_null() | (text == "")
            rules.append((missing, pl.lit(f"{column.name}: missing, but required")))
        if column.type != "string":
            wrong = text.is_not_null() & value.is_null()
            rules.append((wrong, self._message(column.name, f"is not {_KINDS[column.type]}")))
        if column.minimum is not None:
            low = f"is below the minimum {column.minimum}"
            rules.append((value < column.minimum, self._message(column.name, low)))
        if column.maximum is not None:
            high = f"is above the maximum {column.maximum}"
            rules.append((value > column.maximum, self._message(column.name, high)))
        if column.max_length is not None:
            long = f"is longer than {column.max_length} characters"
            rules.append(
                (text.str.len_chars() > column.max_length, self._message(column.name, long))
            )
        if column.pattern is not None:
            unlike = f"does not match {column.pattern}"
            rules.append((~text.str.contains(column.pattern), self._message(column.name, unlike)))
        if column.values:
            other = f"is not one of {', '.join(column.values)}"
            rules.append((~text.is_in(column.values), self._message(column.name, other)))
        return [(fails.fill_null(False), message) for fails, message in rules]

    def _message(self, name: str, what: str) -> pl.Expr:
        shown = pl.col(self._position[name]).str.slice(0, 80)
        return pl.concat_str([pl.lit(f"{name}: '"), shown, pl.lit(f"' {what}")])

    def _reasons(self) -> pl.Expr:
        found = [pl.when(fails).then(message) for fails, message in self._rules]
        return pl.concat_list(found).list.drop_nulls().alias("reasons")

    def _text(self, column: Column) -> pl.Expr:
        text = pl.col(self._position[column.name])
        return pl.when(text != self._contract.null_text).then(text)

    def _canonical(self, column: Column) -> pl.Expr:
        text = self._text(column)
        if column.type in _ISO_FORMATS and column.format not in _ISO_FORMATS[column.type]:
            return _typed(text, column).cast(pl.String).alias(column.name)
        return text.alias(column.name)

    def _doubled(self, good: pl.DataFrame) -> pl.Series:
        # 64 bits per key: at ten million rows the chance of one false match is 1 to 370,000.
        keys = [pl.col(self._position[name]) for name in self._contract.key]
        hashes = good.select(pl.concat_str(keys, separator="\x1f").hash()).to_series()
        doubled = ~hashes.is_first_distinct()
        for earlier in self._seen:
            doubled |= hashes.is_in(earlier.implode())
        self._seen.append(hashes)
        return doubled


_BAD = pl.Schema([("line", pl.Int64()), ("raw", pl.String()), ("reasons", pl.List(pl.String))])


def _typed(text: pl.Expr, column: Column) -> pl.Expr:
    """The value that `text` stands for; null where it stands for none."""
    match column.type:
        case "integer":
            return text.cast(pl.Int64, strict=False)
        case "number":
            number = text.cast(pl.Float64, strict=False)
            return pl.when(number.is_finite()).then(number)
        case "boolean":
            return text.str.to_lowercase().replace_strict(
                _TRUTHS, default=None, return_dtype=pl.Boolean
            )
        case "date":
            day = text.str.to_date(column.format or "%Y-%m-%d", strict=False)
            return pl.when(day.dt.year().is_between(1, 9999)).then(day)
        case "timestamp":
            at = text.str.to_datetime(column.format or "%Y-%m-%d %H:%M:%S", strict=False)
            return pl.when(at.dt.year().is_between(1, 9999)).then(at)
        case _:
            return text
