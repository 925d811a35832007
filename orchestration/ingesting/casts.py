"""What a text stands for, by a column's type."""

from __future__ import annotations

import polars as pl

from orchestration.ingesting.contracts import Column

KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "date": "a date",
    "timestamp": "a point in time",
}
NUMBERS: dict[str, pl.DataType] = {"integer": pl.Int64(), "number": pl.Float64()}
_TRUTHS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
# Texts of these formats mean the same to PostgreSQL and may be handed to it as they are.
_ISO_FORMATS = {"date": {"%Y-%m-%d"}, "timestamp": {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S"}}


def is_plain(column: Column) -> bool:
    """PostgreSQL reads the column's texts as the contract means them."""
    return column.format is None or column.format in _ISO_FORMATS.get(column.type, set())


def value_of(text: pl.Expr, column: Column) -> pl.Expr:
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
        case _:
            at = text.str.to_datetime(column.format or "%Y-%m-%d %H:%M:%S", strict=False)
            return pl.when(at.dt.year().is_between(1, 9999)).then(at)
