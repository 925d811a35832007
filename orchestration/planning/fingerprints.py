"""What a node's content depends on besides data: a fingerprint per model, seed and test.

Reads the project's files and dbt's manifest; `recall` and `remember` keep the result in
`ops.code_versions`. Comments and white space count for nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from psycopg.types.json import Jsonb

from orchestration import database
from orchestration.planning import macros
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
_VARIABLE = re.compile(r"(?<!\w)var\s*\(")
_ENVIRONMENT = re.compile(r"env_var\s*\(\s*['\"](\w+)['\"]")
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
    called = macros.Macros(manifest)
    around = {"a hook around each run": _digest(called.around_runs())}
    variables = _variables(project)

    def visit(unique_id: str) -> Fingerprint:
        if unique_id not in found:
            node: Any = manifest.nodes[unique_id]
            parts = _own_parts(manifest, called, project, node, variables) | around
            # A test's own fingerprint says whether it is another test, not what it is run on.
            if str(node.resource_type) != "test":
                for parent in node.depends_on_nodes:
                    if parent in manifest.nodes:
                        name = manifest.nodes[parent].name
                        parts[f"upstream {name}"] = visit(parent).of_rows
            for parent in node.depends_on_nodes if str(node.resource_type) != "seed" else ():
                if parent in manifest.sources:
                    source = manifest.sources[parent]
                    # Not the database: a project may be built in another one.
                    parts[f"source {source.name}"] = _digest([source.schema, source.identifier])
            found[unique_id] = Fingerprint(_digest(sorted(parts.items())), parts)
        return found[unique_id]

    for unique_id in manifest.nodes:
        visit(unique_id)
    for unique_id, test in manifest.unit_tests.items():
        parts = _unit_test(test, found[test.depends_on.nodes[0]])
        found[unique_id] = Fingerprint(_digest(sorted(parts.items())), parts)
    return found


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
    manifest: Manifest, called: macros.Macros, project: Path, node: Any, variables: list[Any]
) -> dict[str, str]:
    if str(node.resource_type) == "seed":
        # dbt itself looks only at the path of seeds beyond a megabyte.
        content = (_folder(manifest, project, node) / node.original_file_path).read_bytes()
        return {
            "its content": hashlib.sha256(content).hexdigest()[:16],
            "its configuration": _configuration(node),
        }
    parts = {"its SQL": _digest(macros.normalised(node.raw_code))}
    parts["its configuration"] = _configuration(node)
    if str(node.resource_type) == "model":
        parts |= _shape(node)
    used = list(called.of_node(node))
    for macro in used:
        parts[f"macro {macro.name}"] = _digest(macros.normalised(macro.macro_sql))
    texts = [node.raw_code, *(m.macro_sql for m in used if not macros.is_ours(m))]
    config = node.config.to_dict()
    if read := {key: config.get(key) for key in _NEUTRAL if _names(texts, key)}:
        parts["what its SQL reads of its configuration"] = _digest(read)
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


def _variables(project: Path) -> list[Any]:
    """What the project and its packages set for `var()`."""
    files = [project / "dbt_project.yml", *(project / _PACKAGES).glob("*/dbt_project.yml")]
    return [(yaml.safe_load(file.read_text()) or {}).get("vars") for file in sorted(files)]


def _names(texts: Iterable[str], word: str) -> bool:
    """Whether one of them may read what the configuration says under that word."""
    pattern = re.compile(rf"\b(?:config|model)\b[^\n]{{0,60}}\b{word}\b")
    return any(pattern.search(text) for text in texts)


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
