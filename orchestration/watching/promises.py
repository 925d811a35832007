"""What was promised to the readers of each mart: `meta.due_after_minutes` of the published code.

Reads the manifest of the published code from the ledger; writes nothing.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from orchestration import database
from orchestration.manifest import is_mart

_MANIFEST = """
    select manifest from ops.publications
    inner join ops.runs using (run_id)
    inner join ops.code_manifests on code_manifests.code_version = runs.code_version
    order by publication_id desc limit 1
"""


@dataclass(frozen=True)
class Mart:
    """What the published code says of a mart."""

    name: str
    owner: str
    sources: frozenset[str]
    due_after: timedelta | None


def published_marts(connection: database.Connection) -> list[Mart]:
    """The marts of the code that is published, with the sources they are made of."""
    row = connection.execute(_MANIFEST).fetchone()
    if row is None:
        return []
    manifest = json.loads(gzip.decompress(row[0]))
    above: dict[str, frozenset[str]] = {
        unique_id: frozenset({source["identifier"]})
        for unique_id, source in manifest["sources"].items()
    }

    def sources_of(unique_id: str) -> frozenset[str]:
        if unique_id not in above:
            parents = manifest["nodes"].get(unique_id, {}).get("depends_on", {}).get("nodes", [])
            above[unique_id] = frozenset().union(*(sources_of(parent) for parent in parents))
        return above[unique_id]

    return sorted(
        (
            Mart(
                node["alias"],
                node["config"].get("group") or "nobody",
                sources_of(unique_id),
                _due_after(node["config"].get("meta") or {}),
            )
            for unique_id, node in manifest["nodes"].items()
            if is_mart(node)
        ),
        key=lambda mart: mart.name,
    )


def _due_after(meta: Mapping[str, Any]) -> timedelta | None:
    minutes = meta.get("due_after_minutes")  # a number: the planner refuses anything else
    return None if minutes is None else timedelta(minutes=float(minutes))
