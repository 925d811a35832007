"""Check records against a contract: every rule, every row, every reason.

A pure step: reads frames, returns frames; touches neither files nor the warehouse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from orchestration.ingesting.casts import KINDS, NUMBERS, is_plain, value_of
from orchestration.ingesting.contracts import Column, Contract
from orchestration.ingesting.framing import Layout, Records, as_texts
from orchestration.ingesting.tokens import Key

_BAD = pl.Schema(
    [
        ("file", pl.UInt32()), ("line", pl.Int64()), ("raw", pl.String()),
        ("reasons", pl.List(pl.String())),
    ]
)  # fmt: skip
WITHHELD = "(withheld: the source has restricted columns)"


@dataclass(frozen=True)
class Check:
    """One rule, as an expression that is true for the rows that break it, and what to say."""

    name: str
    fails: pl.Expr
    message: pl.Expr
    warns: bool = False


@dataclass(frozen=True)
class Checked:
    """One chunk's rows after validation.

    Attributes:
        good: the rows that passed, with the columns they came with; restricted ones tokenised.
        bad: `file`, `line`, `raw` and `reasons` (list of String) of the others.
        warnings: by file and rule, how many rows that passed broke a rule that only warns.
    """

    good: pl.DataFrame
    bad: pl.DataFrame
    warnings: dict[tuple[int, str], int]


class Validator:
    """The rules of one contract for files with one header.

    Args:
        header: the file's column names, in the file's order.
        references: by column, the values that it may have.
        key: what restricted columns are tokenised with; needed where there are any.
    """

    def __init__(
        self,
        contract: Contract,
        header: list[str],
        references: Mapping[str, pl.Series] | None = None,
        key: Key | None = None,
    ) -> None:
        self.contract = contract
        self.key = key
        self._references = references or {}
        self._position = {name: str(i) for i, name in enumerate(header)}
        self._columns = {column.name: column for column in contract.columns}
        self._restricted = [column for column in contract.columns if column.is_restricted]
        numbers = [
            (self._position[column.name], NUMBERS[column.type])
            for column in contract.columns
            if column.type in NUMBERS
        ]
        self.layout = Layout(
            contract.delimiter,
            contract.null_text,
            tuple(header),
            tuple(numbers) if self.verbatim else (),
        )
        self._checks = {typed: self._all_checks(typed) for typed in (False, True)}

    @property
    def loaded(self) -> list[str]:
        """The columns that are loaded, in the file's order."""
        return [name for name in self._position if name in self._columns]

    @property
    def verbatim(self) -> bool:
        """A row's raw text may be handed to PostgreSQL as it is."""
        known = set(self._position) == set(self._columns)
        iso = all(is_plain(column) for column in self.contract.columns)
        return known and iso and not self._restricted

    def texts(self) -> list[pl.Expr]:
        """The loaded columns, in the file's order, as texts that mean the same to PostgreSQL."""
        return [self._canonical(self._columns[name]) for name in self.loaded]

    def check(self, records: Records, days: list[date]) -> Checked:
        """Split records into good and bad rows.

        Args:
            records: their frame may have a column `file`: an index into `days`; without, 0.
            days: the slice date of each file.
        """
        frame = records.frame
        if "file" not in frame.columns:
            frame = frame.with_columns(file=pl.lit(0, pl.UInt32))
        valued = self._valued(frame, days, records.typed)
        checks = self._checks[records.typed]
        blocking = [check.fails for check in checks if not check.warns]
        found_any = valued.select(f.any().alias(str(n)) for n, f in enumerate(blocking))
        if not any(found_any.row(0)):  # as a rule; the rows themselves are then never marked
            nothing = pl.DataFrame(schema=_BAD)
            return Checked(self._tokenised(frame), nothing, self._warnings(valued, checks))
        failing = valued.select(pl.any_horizontal(blocking)).to_series()
        bad = valued.filter(failing)
        if records.typed:  # the reasons quote what was written, not what it was read as
            texts = as_texts(bad["raw"], self.layout)
            bad = pl.concat([bad.select("file", "line", "raw"), texts], how="horizontal")
            bad = self._valued(bad, days, typed=False)
        found = [
            pl.when(check.fails).then(check.message)
            for check in self._checks[False]
            if not check.warns
        ]
        reasons = pl.concat_list(found).list.drop_nulls().alias("reasons")
        held = bad.select("file", "line", self._safe_raw(), reasons)
        good = valued.filter(~failing)
        kept = good.select(frame.columns)
        return Checked(self._tokenised(kept), held, self._warnings(good, checks))

    def quote(self, raw: str) -> str:
        """What of a line that could not be cut may be kept."""
        return WITHHELD if self._restricted else raw

    def _valued(self, frame: pl.DataFrame, days: list[date], typed: bool) -> pl.DataFrame:
        """The frame with a column `=name` per column that stands for its value."""
        parts = zip(self.contract.row_date, ("year", "month", "day"), strict=False)
        dated = [
            pl.col("file")
            .replace_strict(
                {i: getattr(day, part) for i, day in enumerate(days)}, return_dtype=pl.Int64
            )
            .alias(f"~{name}")
            if len(days) > 1
            else pl.lit(getattr(days[0], part), pl.Int64).alias(f"~{name}")
            for name, part in parts
        ]
        return frame.with_columns(
            *(
                value_of(self._text(column, typed), column).alias(f"={column.name}")
                if not (typed and column.type == "integer")
                else pl.col(self._position[column.name]).alias(f"={column.name}")
                for column in self.contract.columns
                if column.type != "string"
            ),
            *dated,
        )

    def _all_checks(self, typed: bool) -> list[Check]:
        checks = []
        for column in self.contract.columns:
            checks += self._column_checks(column, typed)
            checks += self._bound_checks(column, typed)
            checks += self._leak_checks(column, typed)
        for name in self.contract.row_date:
            says = pl.concat_str(
                self._quoted(name), pl.lit(" is not "), pl.col(f"~{name}"),
                pl.lit(", as the file's date says"),
            )  # fmt: skip
            checks.append(Check(f"{name}: slice", pl.col(f"={name}") != pl.col(f"~{name}"), says))
        return [
            Check(check.name, check.fails.fill_null(False), check.message, check.warns)
            for check in checks
        ]

    def _column_checks(self, column: Column, typed: bool) -> list[Check]:
        """Is it there, is it of its type, is it within its bounds?"""
        text, value, name = self._text(column, typed), pl.col(f"={column.name}"), column.name
        checks = []
        if column.required:
            empty = text.is_null() if column.type != "string" else text.is_null() | (text == "")
            missing = pl.lit(f"{name}: missing, but required")
            checks.append(Check(f"{name} is missing", empty, missing))
        if column.type != "string" and not (typed and column.type == "integer"):
            wrong = text.is_not_null() & value.is_null()
            checks.append(self._check(name, wrong, f"is not {KINDS[column.type]}"))
        if column.minimum is not None:
            low = f"is below the minimum {column.minimum}"
            checks.append(self._check(name, value < column.minimum, low))
        if column.maximum is not None:
            high = f"is above the maximum {column.maximum}"
            checks.append(self._check(name, value > column.maximum, high))
        return checks

    def _bound_checks(self, column: Column, typed: bool) -> list[Check]:
        """Is its text as it should be?"""
        name, text = column.name, self._text(column, typed)
        if column.type != "string":
            text = text.cast(pl.String)
        checks = []
        if column.max_length is not None:
            longer = text.str.len_chars() > column.max_length
            checks.append(
                self._check(name, longer, f"is longer than {column.max_length} characters")
            )
        for rule in column.rules:
            unlike = f"does not match {rule.pattern}"
            checks.append(self._check(name, ~text.str.contains(rule.pattern), unlike, rule.warns))
        if column.values:
            other = f"is not one of {', '.join(column.values)}"
            checks.append(self._check(name, ~text.is_in(column.values), other))
        if column.references and name in self._references:
            unknown = ~text.is_in(self._references[name].implode())
            checks.append(self._check(name, unknown, f"is not a {'.'.join(column.references)}"))
        return checks

    def _leak_checks(self, column: Column, typed: bool) -> list[Check]:
        """Does it hold what belongs into a restricted column?"""
        if column.type != "string" or column.is_restricted:
            return []
        text = self._text(column, typed)
        return [
            Check(
                f"{column.name} leak",
                text.str.contains(rule.pattern),
                pl.lit(f"{column.name}: holds what looks like {other.name}, a restricted one"),
            )
            for other in self._restricted
            for rule in other.rules
        ]

    def _check(self, name: str, fails: pl.Expr, what: str, warns: bool = False) -> Check:
        return Check(f"{name} {what}", fails, self._message(name, what), warns)

    def _message(self, name: str, what: str) -> pl.Expr:
        return pl.concat_str(self._quoted(name), pl.lit(f" {what}"))

    def _quoted(self, name: str) -> pl.Expr:
        if self._columns[name].is_restricted:
            return pl.lit(f"{name}: a restricted value")
        shown = pl.col(self._position[name]).cast(pl.String).fill_null("").str.slice(0, 80)
        return pl.concat_str(pl.lit(f"{name}: '"), shown, pl.lit("'"))

    def _text(self, column: Column, typed: bool) -> pl.Expr:
        """The field, null where it stands for null."""
        text = pl.col(self._position[column.name])
        if typed or self.contract.format != "csv":
            return text
        return pl.when(text != self.contract.null_text).then(text)

    def _canonical(self, column: Column) -> pl.Expr:
        text = self._text(column, typed=False)
        iso = is_plain(column)
        return (text if iso else value_of(text, column).cast(pl.String)).alias(column.name)

    def _safe_raw(self) -> pl.Expr:
        return pl.lit(WITHHELD).alias("raw") if self._restricted else pl.col("raw")

    def _tokenised(self, frame: pl.DataFrame) -> pl.DataFrame:
        if not self._restricted:
            return frame
        assert self.key is not None, "the caller loads the key before anything is read"
        columns = []
        for column in self._restricted:
            texts = frame.select(self._text(column, typed=False)).to_series()
            columns.append(self.key.tokens(texts).alias(self._position[column.name]))
        return frame.with_columns(*columns, pl.lit("").alias("raw"))

    def _warnings(self, frame: pl.DataFrame, checks: list[Check]) -> dict[tuple[int, str], int]:
        found = {}
        for check in checks:
            if check.warns:
                broken = frame.filter(check.fails)
                for file, count in broken.group_by("file").len().iter_rows():
                    found[(file, check.name)] = count
        return found
