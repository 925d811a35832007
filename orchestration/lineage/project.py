"""What the code of a run says of its nodes: relations, parents, tests.

Reads the manifest that the ledger keeps of each version of the code; writes nothing.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration import database
from orchestration.settings import Settings

_BUILT = ("model", "seed")


@dataclass(frozen=True)
class Node:
    """A source, seed, model or test.

    Attributes:
        relation: `schema.table`; of a test, of the node that it is about.
        parents: unique ids.
        path: below the project, of a model's SQL.
        column: that a test is about; else empty.
    """

    unique_id: str
    kind: str
    name: str
    relation: str
    parents: tuple[str, ...] = ()
    path: str = ""
    form: str = ""
    column: str = ""


@dataclass(frozen=True)
class Project:
    """All nodes of one version of the code, by unique id."""

    name: str
    nodes: dict[str, Node]

    def compiled(self, settings: Settings, node: Node) -> Path:
        """Where dbt leaves the compiled SQL of a model."""
        return settings.var / "dbt/compiled" / self.name / node.path


def recall(connection: database.Connection, code_version: str) -> Project | None:
    """The project as it was in this version of the code; None if the ledger forgot it."""
    row = connection.execute(
        "select manifest from ops.code_manifests where code_version = %s", [code_version]
    ).fetchone()
    return _read(json.loads(gzip.decompress(row[0]))) if row else None


def _read(manifest: dict[str, Any]) -> Project:
    nodes = {
        unique_id: Node(
            unique_id, "source", source["identifier"], f"{source['schema']}.{source['identifier']}"
        )
        for unique_id, source in manifest["sources"].items()
    }
    tests = []
    for unique_id, node in manifest["nodes"].items():
        kind, parents = (
            node["resource_type"],
            tuple((node.get("depends_on") or {}).get("nodes") or ()),
        )
        if kind == "test":
            tests.append((unique_id, node, parents))
        elif kind in _BUILT:
            nodes[unique_id] = Node(
                unique_id, kind, node["alias"], f"{node['schema']}.{node['alias']}", parents,
                node["original_file_path"], node["config"].get("materialized") or kind,
            )  # fmt: skip
    for unique_id, node, parents in tests:
        about = node.get("attached_node") or next(iter(parents), "")
        relation = nodes[about].relation if about in nodes else ""
        nodes[unique_id] = Node(
            unique_id, "test", node["name"], relation, parents, column=node.get("column_name") or ""
        )
    return Project(manifest["metadata"]["project_name"] or "", nodes)
