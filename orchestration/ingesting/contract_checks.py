"""`make contracts`: is every contract well-formed, and does a new version break its readers?

Reads `contracts/`, and a git revision of it if asked; writes nothing.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from open_data_contract_standard.model import OpenDataContractStandard

from orchestration.errors import UsageError
from orchestration.ingesting import contract_files
from orchestration.ingesting.contracts import Column, Contract

_LEVELS = ("patch", "minor", "major")


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


@dataclass(frozen=True)
class Difference:
    """A difference between two versions, and the part of the version number it calls for."""

    level: str
    text: str


def check(project: Path, against: str | None = None) -> list[Problem]:
    """Everything that is wrong with the project's contracts, by file and line.

    Args:
        against: a git revision; a contract that changed since must have a new version.
    """
    problems, read = [], []
    for path in sorted((project / "contracts").glob("*.yml")):
        name = path.relative_to(project).as_posix()
        text = path.read_text(encoding="utf-8")
        found = [Problem(name, line, what) for line, what in _flaws(text, path)]
        problems += found
        if not found:
            read.append(contract_files.load(path))
    problems += _between(project, read)
    if against:
        problems += _since(project, read, against)
    return problems


def differences(old: Contract, new: Contract) -> list[Difference]:
    """What changed for those who read the source, from `old` to `new`."""
    before = {column.name: column for column in old.columns}
    after = {column.name: column for column in new.columns}
    found = [Difference("major", f"column {name} is gone") for name in before if name not in after]
    found += [Difference("minor", f"column {name} is new") for name in after if name not in before]
    for name in before.keys() & after.keys():
        found += _column_differences(before[name], after[name])
    if old.key != new.key:
        keys = f"the key changed from {', '.join(old.key)} to {', '.join(new.key)}"
        found.append(Difference("major", keys))
    return sorted(found, key=lambda d: (-_LEVELS.index(d.level), d.text))


def required_level(old: Contract, new: Contract) -> str:
    """The part of the version number that must grow: major, minor or patch."""
    levels = [_LEVELS.index(difference.level) for difference in differences(old, new)]
    return _LEVELS[max(levels, default=0)]


def _column_differences(old: Column, new: Column) -> Iterator[Difference]:
    name = new.name
    if old.type != new.type:
        yield Difference("major", f"column {name} was {old.type} and is {new.type}")
    if old.required and not new.required:
        yield Difference("major", f"column {name} may now be missing")
    if old.unique and not new.unique:
        yield Difference("major", f"column {name} may now repeat")
    if set(new.values) - set(old.values) and old.values:
        yield Difference("major", f"column {name} may now have values that it had not")
    if old.values and not new.values:
        yield Difference("major", f"column {name} may now have any value")
    if _is_wider(old.minimum, new.minimum, -1) or _is_wider(old.maximum, new.maximum, 1):
        yield Difference("minor", f"column {name} has wider bounds")
    if old.is_restricted and not new.is_restricted:
        yield Difference("major", f"column {name} is no longer restricted")
    if not old.is_restricted and new.is_restricted:
        yield Difference("major", f"column {name} is restricted now: readers get tokens")


def _is_wider(old: float | None, new: float | None, direction: int) -> bool:
    if old is None:
        return False
    return new is None or (new - old) * direction > 0


def _flaws(text: str, path: Path) -> Iterator[tuple[int, str]]:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        yield (error.problem_mark.line + 1 if error.problem_mark else 1), str(error.problem)
        return
    if not isinstance(content, dict):
        yield 1, "it is no mapping"
        return
    flaws = list(_schema_flaws(content, node))
    yield from flaws
    if flaws:
        return
    try:
        contract_files.read(OpenDataContractStandard(**content), path)
    except (ValueError, TypeError, KeyError, re.error, LookupError) as error:
        message = str(error)
        yield _line_of(text, message), message


def _schema_flaws(content: dict[str, Any], node: Any) -> Iterator[tuple[int, str]]:
    # Imported here: only this check needs it, and it takes a moment.
    import jsonschema

    schema = json.loads(OpenDataContractStandard.json_schema())  # type: ignore[no-untyped-call]
    validator = jsonschema.validators.validator_for(schema)(schema)
    for error in validator.iter_errors(content):
        where = ".".join(str(part) for part in error.absolute_path)
        yield _line(node, list(error.absolute_path)), f"{where or 'contract'}: {error.message}"


def _line(node: Any, path: list[str | int]) -> int:
    """The line of the value at `path` in a composed YAML document."""
    for part in path:
        if isinstance(node, yaml.MappingNode):
            node = next((v for k, v in node.value if k.value == part), node)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
    return int(node.start_mark.line) + 1


def _line_of(text: str, message: str) -> int:
    """The line that a message is about: where the column it names, or a word of it, stands."""
    column = re.match(r"column '?(\w*)'?", message)
    words = (
        [rf"name: {column[1]}$"]
        if column
        else [rf"\b{w}\b" for w in reversed(re.findall(r"\w+", message))]
    )
    for word in words:
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(word, line):
                return number
    return 1


def _between(project: Path, read: list[Contract]) -> Iterator[Problem]:
    """Versions that stand side by side: does each newer one's number say what it breaks?"""
    by_source: dict[str, list[Contract]] = {}
    for contract in sorted(read, key=lambda c: c.order):
        by_source.setdefault(contract.source, []).append(contract)
    for versions in by_source.values():
        for old, new in itertools.pairwise(versions):
            yield from _too_small(project, old, new)
    yield from _unknown_references(project, by_source)


def _unknown_references(project: Path, by_source: dict[str, list[Contract]]) -> Iterator[Problem]:
    for versions in by_source.values():
        for contract in versions:
            for column in contract.columns:
                if column.references is None:
                    continue
                source, name = column.references
                known = by_source.get(source, [])
                if not any(name == other.name for target in known for other in target.columns):
                    file = contract.file.relative_to(project).as_posix()
                    text = f"column {column.name}: there is no {source}.{name} to refer to"
                    yield Problem(file, _line_of(contract.file.read_text(), text), text)


def _since(project: Path, read: list[Contract], revision: str) -> Iterator[Problem]:
    for contract in read:
        name = contract.file.relative_to(project).as_posix()
        shown = subprocess.run(
            ["git", "show", f"{revision}:./{name}"], cwd=project, capture_output=True, text=True
        )
        if shown.returncode != 0:
            if "exists on disk, but not in" in shown.stderr or "does not exist" in shown.stderr:
                continue  # the contract is new
            raise UsageError(
                f"git cannot show {revision}: {shown.stderr.strip()}",
                todo="Name a revision of this repository: make contracts AGAINST=main",
            )
        standard = OpenDataContractStandard.from_string(shown.stdout)
        yield from _too_small(project, contract_files.read(standard, contract.file), contract)


def _too_small(project: Path, old: Contract, new: Contract) -> Iterator[Problem]:
    level = required_level(old, new)
    place = 2 - _LEVELS.index(level)
    found = differences(old, new)
    grown = new.order[: place + 1] > old.order[: place + 1]
    if not found or grown:
        return
    changes = "; ".join(difference.text for difference in found if difference.level == level)
    text = f"version {new.version} follows {old.version}, but needs a new {level} number: {changes}"
    file = new.file.relative_to(project).as_posix()
    yield Problem(file, _line_of(new.file.read_text(encoding="utf-8"), "version"), text)
