"""What dbt's `--state` and `--defer` compare with: the manifest of the published code.

`remember` writes `ops.code_manifests`, and the catalogue's half of it; `write` reads it and writes
`var/state/manifest.json`, on any machine that reaches the warehouse.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration import database
from orchestration.errors import AirworthyError
from orchestration.manifest import CANDIDATE, is_mart
from orchestration.publishing import catalogue
from orchestration.settings import Settings

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest


def remember(connection: database.Connection, version: str, manifest: Manifest) -> None:
    """Keep the manifest of the code `version`."""
    content: dict[str, Any] = manifest.writable_manifest().to_dict(omit_none=False)
    packed = gzip.compress(json.dumps(content, default=str).encode(), 5)
    connection.execute(
        "insert into ops.code_manifests (code_version, manifest) values (%s, %s)"
        " on conflict do nothing",
        [version, packed],
    )
    catalogue.remember(connection, version, content)


def write(settings: Settings, connection: database.Connection) -> Path:
    """Write the published code's manifest, in which marts are the published ones; its folder.

    Raises:
        AirworthyError: nothing is published yet.
    """
    row = connection.execute(
        "select manifest from ops.publications inner join ops.code_manifests using (code_version)"
        " order by publication_id desc limit 1"
    ).fetchone()
    if row is None:
        raise AirworthyError(
            "There is no published code to compare with.",
            kept="Nothing was changed.",
            todo="Run `make run` first.",
        )
    content = json.loads(gzip.decompress(row[0]))
    for node in content["nodes"].values():
        if is_mart(node):
            node["schema"] = "published"
            candidate, published = f'"{CANDIDATE}"', '"published"'
            node["relation_name"] = node["relation_name"].replace(candidate, published)
    folder = settings.var / "state"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def retained_marts(connection: database.Connection) -> set[str]:
    """The marts of all code that a retained publication shows."""
    rows = connection.execute(
        "select manifest from ops.code_manifests where code_version in"
        " (select code_version from ops.publication_inputs where is_retained)"
    )
    manifests = (json.loads(gzip.decompress(packed)) for (packed,) in rows)
    nodes = (node for manifest in manifests for node in manifest["nodes"].values())
    return {node["alias"] for node in nodes if is_mart(node)}
