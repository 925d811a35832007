"""Read contracts: `contracts/<source>[-<version>].yml`, in the Open Data Contract Standard.

Reads the contracts, writes nothing. Which property of the standard means what here is listed in
`docs/contracts.md`.
"""

from __future__ import annotations

import codecs
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml
from open_data_contract_standard.model import OpenDataContractStandard, SchemaProperty
from pydantic import ValidationError

from orchestration.errors import UsageError
from orchestration.ingesting.contracts import TYPES, Column, Contract, Rule, demand
from orchestration.watching import sla

_NAME = re.compile(r"[a-z][a-z0-9_]{0,57}")
_OPTIONS = {"minimum", "maximum", "pattern", "maxLength", "format"}
_CUSTOM = {
    "delimiter", "encoding", "nullText", "rowDateColumns", "maxQuarantinedShare", "minRows",
    "maxRows", "maxBytes", "addedColumns", "snapshot", "severity", *sla.CUSTOM,
}  # fmt: skip


def load_all(folder: Path) -> dict[str, list[Contract]]:
    """All contracts in `folder`, by source, the newest version first.

    Raises:
        UsageError: a contract cannot be read; the message names the file and the property.
    """
    found: dict[str, list[Contract]] = defaultdict(list)
    for path in sorted(folder.glob("*.yml")):
        contract = load(path)
        found[contract.source].append(contract)
    if not found:
        raise UsageError(
            f"There is no contract in {folder}.",
            todo="Add contracts/<source>.yml; contracts/flights.yml is an example.",
        )
    return {name: sorted(c, key=lambda c: c.order, reverse=True) for name, c in found.items()}


def load(path: Path) -> Contract:
    """The contract in the file `path`, named like its source, or source and version."""
    try:
        return read(OpenDataContractStandard.from_file(str(path)), path)
    except (yaml.YAMLError, ValidationError, TypeError, KeyError, ValueError) as error:
        raise UsageError(
            f"The contract {path} cannot be read: {error}",
            kept="Nothing was changed.",
            todo="Correct it; `make contracts` says where, docs/contracts.md what is allowed.",
        ) from error


def read(standard: OpenDataContractStandard, path: Path) -> Contract:
    """The contract that `standard` describes.

    Raises:
        ValueError: a property is missing, unknown or makes no sense; the message names it.
    """
    name = standard.id or ""
    fitting = (name, f"{name}-{standard.version}")
    demand(path.stem in fitting, f"its id is {name!r}, but the file is named {path.stem!r}")
    demand(bool(_NAME.fullmatch(name)), "id must be lower case letters, digits, underscores")
    server = _only(standard.servers, "servers")
    table = _only(standard.schema_, "schema")
    listed = standard.customProperties or []
    custom: dict[str | None, Any] = {item.property: item.value for item in listed}
    unknown = sorted(str(name) for name in custom if name not in _CUSTOM)
    demand(not unknown, f"unknown customProperties: {', '.join(unknown)}")
    contract = Contract(
        source=name,
        version=standard.version or "",
        path=server.path or server.location or "",
        format=server.format or "",
        delimiter=str(custom.get("delimiter", ",")),
        encoding=str(custom.get("encoding", "utf-8")),
        null_text=str(custom.get("nullText", "")),
        columns=tuple(_column(item) for item in table.properties or []),
        row_date=tuple(custom.get("rowDateColumns", ())),
        max_quarantined_share=float(custom.get("maxQuarantinedShare", 0)),
        min_rows=int(custom.get("minRows", 1)),
        max_rows=int(custom["maxRows"]) if "maxRows" in custom else None,
        max_bytes=int(custom.get("maxBytes", 2**34)),
        accepts_added_columns=custom.get("addedColumns", "reject") == "accept",
        is_snapshot=bool(custom.get("snapshot", False)),
        severity=str(custom.get("severity", "critical")),
        owner=str(getattr(standard.team, "name", "") or ""),
        file=path,
        sla=_sla(standard, custom),
    )
    _check(contract, str(custom.get("addedColumns", "reject")))
    return contract


def _sla(standard: OpenDataContractStandard, custom: dict[str | None, Any]) -> sla.Sla | None:
    listed = [(p.property or "", p.value, p.unit or "") for p in standard.slaProperties or []]
    names = [name for name, _, _ in listed]
    demand(len(set(names)) == len(names), "slaProperties lists a property twice")
    return sla.read({name: (value, unit) for name, value, unit in listed}, custom)


def _check(contract: Contract, added_columns: str) -> None:
    names = [column.name for column in contract.columns]
    known = ("csv", "jsonl", "parquet")
    demand(contract.format in known, f"servers[0].format is {contract.format!r}; known: csv, ...")
    demand(len(contract.delimiter) == 1, "delimiter must be one character")
    demand(bool(re.fullmatch(r"\d+\.\d+\.\d+", contract.version)), "version is not like 1.0.0")
    demand(len(set(names)) == len(names), "a column is listed twice")
    demand(len(contract.row_date) <= 3, "rowDateColumns names more than year, month and day")
    demand(set(contract.row_date) <= set(names), "rowDateColumns names an unknown column")
    demand(bool(contract.key), "no column has primaryKey")
    demand(added_columns in ("accept", "reject"), "addedColumns is neither accept nor reject")
    demand(contract.severity in ("critical", "warning"), "severity is not critical or warning")
    demand(bool(contract._path_pattern), "servers[0].path is missing")
    dated = "{yyyy}" in contract.path
    demand(dated or contract.is_snapshot, "servers[0].path lacks {yyyy}: only a snapshot may")
    codecs.lookup(contract.encoding)


def _column(item: SchemaProperty) -> Column:
    name, options = item.name or "", dict[str, Any](item.logicalTypeOptions or {})
    demand(bool(_NAME.fullmatch(name)), f"column {name!r}: not lower case letters, digits, _")
    demand(item.logicalType in TYPES, f"column {name}: unknown logicalType {item.logicalType!r}")
    demand(set(options) <= _OPTIONS, f"column {name}: unknown {sorted(set(options) - _OPTIONS)}")
    restricted = item.classification == "restricted"
    demand(not restricted or item.logicalType == "string", f"column {name}: restricted, no string")
    return Column(
        name=name,
        type=str(item.logicalType),
        required=bool(item.required) or bool(item.primaryKey),
        unique=bool(item.unique),
        key_position=(item.primaryKeyPosition or 1) if item.primaryKey else None,
        minimum=options.get("minimum"),
        maximum=options.get("maximum"),
        max_length=options.get("maxLength"),
        format=options.get("format"),
        values=tuple(str(choice.value) for choice in item.enum or []),
        rules=tuple(_rules(item, options)),
        references=_reference(item),
        is_restricted=restricted,
    )


def _rules(item: SchemaProperty, options: dict[str, Any]) -> list[Rule]:
    found = [Rule(options["pattern"], False)] if options.get("pattern") else []
    for quality in item.quality or []:
        known = quality.metric == "invalidValues" and set(quality.arguments or {}) == {"pattern"}
        demand(known, f"column {item.name}: quality knows only invalidValues with a pattern")
        pattern = str((quality.arguments or {})["pattern"])
        found.append(Rule(pattern, quality.severity == "warning"))
    for rule in found:
        try:
            re.compile(rule.pattern)
        except re.error as error:
            raise ValueError(f"column {item.name}: pattern {rule.pattern!r}: {error}") from error
    return found


def _reference(item: SchemaProperty) -> tuple[str, str] | None:
    if not item.relationships:
        return None
    target = str(_only(item.relationships, f"column {item.name}: relationships").to)
    demand(target.count(".") == 1, f"column {item.name}: a relationship's to is source.column")
    source, column = target.split(".")
    return source, column


def _only(items: list[Any] | None, what: str) -> Any:
    demand(items is not None and len(items) == 1, f"{what} must have exactly one entry")
    return (items or [])[0]
