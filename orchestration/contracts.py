"""What we demand of each provider: `contracts/<source>.yml`, in the Open Data Contract Standard.

Reads the contracts, writes nothing. Which property of the standard means what here is listed in
`docs/contracts.md`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from open_data_contract_standard.model import OpenDataContractStandard, SchemaProperty
from pydantic import ValidationError

from orchestration.errors import UsageError

_TYPES = {
    "string": "text",
    "integer": "bigint",
    "number": "numeric",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamptz",
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,57}")
_DATE_PARTS = {"yyyy": r"(?P<yyyy>\d{4})", "mm": r"(?P<mm>\d{2})", "dd": r"(?P<dd>\d{2})"}


@dataclass(frozen=True)
class Column:
    """One column of a source: what its texts must look like.

    Attributes:
        type: logical type of the standard: string, integer, number, boolean, date, timestamp.
        format: strftime format of dates and timestamps; a timestamp without zone is UTC.
        minimum, maximum: bounds, both allowed; numbers only.
        values: the only texts allowed; empty means any.
    """

    name: str
    type: str
    required: bool
    key_position: int | None
    minimum: float | None
    maximum: float | None
    pattern: str | None
    max_length: int | None
    format: str | None
    values: tuple[str, ...]

    @property
    def sql_type(self) -> str:
        return _TYPES[self.type]


@dataclass(frozen=True)
class Contract:
    """One version of what a source's files must look like.

    Attributes:
        source: name of the source, of its raw table and of its contract.
        path: pattern below LANDING_URL with {yyyy}, {mm}, {dd} for the slice date.
        row_date: the columns that hold a row's year, month and day; empty if rows have no date.
        max_quarantined_share: above this share of bad rows the whole delivery is rejected.
    """

    source: str
    version: str
    path: str
    delimiter: str
    null_text: str
    columns: tuple[Column, ...]
    row_date: tuple[str, ...]
    max_quarantined_share: float
    min_rows: int
    owner: str

    @property
    def key(self) -> tuple[str, ...]:
        keyed = [column for column in self.columns if column.key_position]
        return tuple(c.name for c in sorted(keyed, key=lambda c: c.key_position or 0))

    def slice_date(self, uri: str) -> date | None:
        """The slice date that the path `uri` stands for; None when it is not this source's."""
        found = self._path_pattern.fullmatch(uri)
        if found is None:
            return None
        try:
            return date(*(int(found[part]) for part in _DATE_PARTS))
        except ValueError:  # 30 February
            return None

    @cached_property
    def _path_pattern(self) -> re.Pattern[str]:
        pattern, seen = "", set()
        for piece in re.split(r"(\{\w+\})", self.path):
            part = piece.strip("{}")
            if piece == part:
                pattern += re.escape(piece)
            else:
                _demand(part in _DATE_PARTS, f"servers[0].path has an unknown part {{{part}}}")
                pattern += f"(?P={part})" if part in seen else _DATE_PARTS[part]
                seen.add(part)
        return re.compile(pattern)


def load_all(folder: Path) -> list[Contract]:
    """All contracts in `folder`, by source name.

    Raises:
        UsageError: a contract cannot be read; the message names the file and the property.
    """
    found = [load(path) for path in sorted(folder.glob("*.yml"))]
    if not found:
        raise UsageError(
            f"There is no contract in {folder}.",
            todo="Add contracts/<source>.yml; contracts/flights.yml is an example.",
        )
    return found


def load(path: Path) -> Contract:
    """The contract in the file `path`, named like its source."""
    try:
        standard = OpenDataContractStandard.from_file(str(path))
        return _read(standard, path.stem)
    except (yaml.YAMLError, ValidationError, TypeError, KeyError, ValueError) as error:
        raise UsageError(
            f"The contract {path} cannot be read: {error}",
            kept="Nothing was changed.",
            todo="Correct the file; docs/contracts.md lists what each property means.",
        ) from error


def _read(standard: OpenDataContractStandard, name: str) -> Contract:
    _demand(standard.id == name, f"its id is {standard.id!r}, but the file is named {name!r}")
    _demand(bool(_NAME.fullmatch(name)), "the name must be lower case letters, digits, underscores")
    server = _only(standard.servers, "servers")
    table = _only(standard.schema_, "schema")
    listed = standard.customProperties or []
    custom: dict[str | None, Any] = {item.property: item.value for item in listed}
    columns = tuple(_column(item) for item in table.properties or [])
    contract = Contract(
        source=name,
        version=standard.version or "",
        path=server.path or "",
        delimiter=str(custom.get("delimiter", ",")),
        null_text=str(custom.get("nullText", "")),
        columns=columns,
        row_date=tuple(custom.get("rowDateColumns", ())),
        max_quarantined_share=float(custom.get("maxQuarantinedShare", 0)),
        min_rows=int(custom.get("minRows", 1)),
        owner=str(getattr(standard.team, "name", "") or ""),
    )
    _check(contract, server.format)
    return contract


def _check(contract: Contract, file_format: str | None) -> None:
    names = [column.name for column in contract.columns]
    _demand(file_format == "csv", f"servers[0].format is {file_format!r}; known: csv")
    _demand(len(contract.delimiter) == 1, "delimiter must be one character")
    _demand(bool(re.fullmatch(r"\d+\.\d+\.\d+", contract.version)), "version is not like 1.0.0")
    _demand(len(set(names)) == len(names), "a column is listed twice")
    _demand(len(contract.row_date) in (0, 3), "rowDateColumns must name year, month and day")
    _demand(set(contract.row_date) <= set(names), "rowDateColumns names an unknown column")
    _demand(bool(contract.key), "no column has primaryKey")
    assert contract._path_pattern
    for part in _DATE_PARTS:
        _demand(f"{{{part}}}" in contract.path, f"servers[0].path lacks {{{part}}}")


def _column(item: SchemaProperty) -> Column:
    name, options = item.name or "", dict[str, Any](item.logicalTypeOptions or {})
    _demand(bool(_NAME.fullmatch(name)), f"column {name!r}: not lower case letters, digits, _")
    _demand(item.logicalType in _TYPES, f"column {name}: unknown logicalType {item.logicalType!r}")
    known = {"minimum", "maximum", "pattern", "maxLength", "format"}
    _demand(set(options) <= known, f"column {name}: unknown {sorted(set(options) - known)}")
    if options.get("pattern"):
        re.compile(options["pattern"])
    return Column(
        name=name,
        type=str(item.logicalType),
        required=bool(item.required) or bool(item.primaryKey),
        key_position=(item.primaryKeyPosition or 1) if item.primaryKey else None,
        minimum=options.get("minimum"),
        maximum=options.get("maximum"),
        pattern=options.get("pattern"),
        max_length=options.get("maxLength"),
        format=options.get("format"),
        values=tuple(str(choice.value) for choice in item.enum or []),
    )


def _only(items: list[Any] | None, what: str) -> Any:
    _demand(items is not None and len(items) == 1, f"{what} must have exactly one entry")
    return (items or [])[0]


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
