"""What a node's content depends on besides data: a fingerprint per model, seed and test.

Reads the project's files and dbt's manifest; `recall` and `remember` keep the result in
`ops.code_versions`. Comments and white space count for nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from psycopg.types.json import Jsonb

from orchestration import database
from orchestration.settings import environment_with

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

_PACKAGES = "dbt_packages"
_CODE = (
    "models", "macros", "seeds", "snapshots", "tests/data_tests", "expectations", _PACKAGES,
)  # fmt: skip
# What dbt may be told about a node without any effect on its rows. `meta` counts where it says
# how rows are partitioned.
_NEUTRAL = {
    "access", "docs", "freshness", "grants", "group", "meta", "packages", "persist_docs",
    "static_analysis", "tags", "indexes",
}  # fmt: skip
_META = ("partition_column", "partition_grain", "days_after")
_OF_DBT = ("dbt", "dbt_postgres")
_VARIABLE = re.compile(r"(?<!\w)var\s*\(")
_ENVIRONMENT = re.compile(r"env_var\s*\(\s*['\"](\w+)['\"]")
_TOUCHES_JINJA = re.compile(r"\w[{]|[}]\w")
# What a table demands of its rows and how they are found, and what it says about itself and who may
# read it: without effect on its rows, and so on what reads them.
SHAPE = ("its constraints", "its indexes")
_APART = (*SHAPE, "its description")


@dataclass(frozen=True)
class Fingerprint:
    """A digest, and the digest of each ingredient by its name."""

    value: str
    parts: dict[str, str]

    @property
    def of_rows(self) -> str:
        """A digest of what decides the node's rows."""
        return _digest(sorted((k, v) for k, v in self.parts.items() if k not in _APART))

    def difference(self, before: Fingerprint | None) -> str:
        """What changed since `before`, in words."""
        if before is None:
            return "it is new"
        names = sorted(
            {*self.parts, *before.parts},
            key=lambda name: (name.startswith("upstream "), name),
        )
        changed = [n for n in names if self.parts.get(n) != before.parts.get(n)]
        own = [n for n in changed if not n.startswith("upstream ")] or changed
        said = ", ".join(name.removeprefix("upstream ") for name in own[:3])
        return f"{said}{' and more' if len(own) > 3 else ''} changed"


def code_version(project: Path) -> str:
    """A digest of all that decides what the marts hold and how they are audited.

    That is files, those of packages among them, and the variables that they ask for by name.
    """
    digest = hashlib.sha256()
    files = [project / "dbt_project.yml"]
    asked: set[str] = set()
    for folder in _CODE:
        files += (project / folder).rglob("*")
    for path in sorted(path for path in files if path.is_file()):
        content = path.read_bytes()
        digest.update(path.relative_to(project).as_posix().encode() + b"\0")
        digest.update(content + b"\0")
        if b"env_var" in content:
            asked.update(_ENVIRONMENT.findall(content.decode(errors="replace")))
    values = environment_with({})
    for name in sorted(asked):
        digest.update(f"{name}={values.get(name)}\0".encode())
    return digest.hexdigest()[:16]


def compute(manifest: Manifest, project: Path) -> dict[str, Fingerprint]:
    """The fingerprint of every node, by unique id."""
    found: dict[str, Fingerprint] = {}
    variables = yaml.safe_load((project / "dbt_project.yml").read_text()).get("vars")

    def visit(unique_id: str) -> Fingerprint:
        if unique_id not in found:
            node: Any = manifest.nodes[unique_id]
            parts = _own_parts(manifest, project, node, variables)
            # A test's own fingerprint says whether it is another test, not what it is run on.
            if str(node.resource_type) != "test":
                for parent in node.depends_on_nodes:
                    if parent in manifest.nodes:
                        name = manifest.nodes[parent].name
                        parts[f"upstream {name}"] = visit(parent).of_rows
            found[unique_id] = Fingerprint(_digest(sorted(parts.items())), parts)
        return found[unique_id]

    for unique_id in manifest.nodes:
        visit(unique_id)
    for unique_id, test in manifest.unit_tests.items():
        parts = _unit_test(test, found[test.depends_on.nodes[0]])
        found[unique_id] = Fingerprint(_digest(sorted(parts.items())), parts)
    return found


def normalised(code: str) -> list[str]:
    """The words of Jinja and SQL `code`, without comments and white space, keywords in lower case.

    A word that touches a brace of Jinja is marked: `a_{{ b }}` and `a_ {{ b }}` differ.
    """
    from sqlglot import TokenType
    from sqlglot.dialects.postgres import Postgres
    from sqlglot.errors import SqlglotError

    try:
        tokens = Postgres().tokenize(code)
    except SqlglotError:  # such as a lone quote inside Jinja's text: then every character counts
        return [code]
    verbatim = (TokenType.STRING, TokenType.IDENTIFIER, TokenType.VAR)
    words: list[str] = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        if before is not None and before.end + 1 == token.start:
            edge = code[before.end] + code[token.start]
            words += ["+"] if _TOUCHES_JINJA.fullmatch(edge) else []
        text = token.text if token.token_type in verbatim else token.text.lower()
        words.append(f"{token.token_type.name} {text}")
    return words


def recall(connection: database.Connection, version: str | None) -> dict[str, Fingerprint]:
    """The fingerprints of the code `version`, by unique id; empty if it is not known."""
    rows = connection.execute(
        "select unique_id, fingerprint, parts from ops.code_versions where code_version = %s",
        [version],
    )
    return {unique_id: Fingerprint(value, parts) for unique_id, value, parts in rows}


def remember(
    connection: database.Connection, version: str, fingerprints: dict[str, Fingerprint]
) -> None:
    """Keep the fingerprints of the code `version`."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ops.code_versions (code_version, unique_id, fingerprint, parts)"
            " values (%s, %s, %s, %s) on conflict do nothing",
            [(version, key, f.value, Jsonb(f.parts)) for key, f in fingerprints.items()],
        )


def _own_parts(
    manifest: Manifest, project: Path, node: Any, variables: dict[str, Any] | None
) -> dict[str, str]:
    if str(node.resource_type) == "seed":
        # dbt itself looks only at the path of seeds beyond a megabyte.
        content = (_folder(manifest, project, node) / node.original_file_path).read_bytes()
        return {
            "its content": hashlib.sha256(content).hexdigest()[:16],
            "its configuration": _configuration(node),
        }
    parts = {"its SQL": _digest(normalised(node.raw_code))}
    parts["its configuration"] = _configuration(node)
    if str(node.resource_type) == "model":
        parts |= _shape(node)
    macros = list(_macros(manifest, node))
    for macro in macros:
        parts[f"macro {macro.name}"] = _digest(normalised(macro.macro_sql))
    texts = (node.raw_code, *(macro.macro_sql for macro in macros))
    if any(_VARIABLE.search(text) for text in texts):
        parts["a variable"] = _digest(variables)
    if asked := sorted({name for text in texts for name in _ENVIRONMENT.findall(text)}):
        values = environment_with({})
        parts["the environment"] = _digest({name: values.get(name) for name in asked})
    return parts


def _unit_test(test: Any, model: Fingerprint) -> dict[str, str]:
    """What a unit test says, and what of its model decides how it ends; its inputs are its own."""
    said = {k: v for k, v in test.to_dict().items() if k in ("given", "expect", "overrides")}
    own = {k: v for k, v in model.parts.items() if not k.startswith("upstream ")}
    return {"its definition": _digest(said)} | {k: own[k] for k in own if k not in _APART}


def _folder(manifest: Manifest, project: Path, node: Any) -> Path:
    """The project's, or that of the package that brings the seed.

    dbt says where it was when it read the seed, which may have been elsewhere.
    """
    if node.package_name == manifest.metadata.project_name:
        return project
    return project / _PACKAGES / Path(node.root_path).name


def _configuration(node: Any) -> str:
    config = {k: v for k, v in node.config.to_dict().items() if k not in _NEUTRAL}
    meta = {key: node.config.meta[key] for key in _META if key in node.config.meta}
    arguments = getattr(getattr(node, "test_metadata", None), "kwargs", None)
    return _digest([config, meta, arguments, node.alias])


def _shape(node: Any) -> dict[str, str]:
    """What the yml says about a model's table; what takes no effect there is left out."""
    columns, constraints = [], []
    if node.config.contract.enforced:
        constraints = [constraint.to_dict() for constraint in node.constraints]
        for name, column in node.columns.items():
            columns.append((name, column.data_type))
            constraints += [(name, constraint.to_dict()) for constraint in column.constraints]
    kept = node.config.persist_docs
    said = [node.config.grants, node.description if kept.get("relation") else None]
    if kept.get("columns"):
        said += [(name, column.description) for name, column in sorted(node.columns.items())]
    return {
        "its columns": _digest(columns),
        "its constraints": _digest(constraints),
        "its indexes": _digest(node.config.get("indexes")),
        "its description": _digest(said),
    }


def _macros(manifest: Manifest, node: Any) -> Iterator[Any]:
    """The project's macros that `node` uses, directly or not; also by its way of building."""
    waiting = list(node.depends_on.macros)
    form = str(node.config.materialized)
    strategy = node.config.incremental_strategy if form == "incremental" else None
    waiting += [
        unique_id
        for unique_id, macro in manifest.macros.items()
        if (strategy and macro.name == f"get_incremental_{strategy}_sql")
        or macro.name.startswith(f"materialization_{form}_")
    ]
    return macros_below(manifest, waiting)


def macros_below(manifest: Manifest, unique_ids: Iterable[str]) -> Iterator[Any]:
    """These macros and all that they call, without dbt's own."""
    waiting, seen = list(unique_ids), set[str]()
    while waiting:
        unique_id = waiting.pop()
        macro = manifest.macros.get(unique_id)
        if macro is None or unique_id in seen or macro.package_name in _OF_DBT:
            continue
        seen.add(unique_id)
        yield macro
        waiting += macro.depends_on.macros


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
