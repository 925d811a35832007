"""What there is to know about each published mart: `published._catalog`.

Half of it stands in the code: `remember` writes it, with each version of the code, into
`ops.mart_descriptions`. The other half stands in the ledger. The view puts both together when it is
asked, as of the publication that readers see, so it needs nothing after a kill or a rollback.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from orchestration import database
from orchestration.manifest import is_mart

_COLUMNS = (
    "code_version", "mart", "description", "owner", "contact", "partition_column", "columns",
    "parents", "sources",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One mart as `published._catalog` shows it.

    Attributes:
        newest_date: of its rows; None where they have no date.
        changed_in: the last publication that changed a row of it.
        deliveries: per source its newest slice and delivery, as dictionaries.
        checks, checks_passed: of the gate in the last runs, which `quality_history` lists.
    """

    mart: str
    description: str
    owner: str | None
    contact: str | None
    columns: list[dict[str, str]]
    parents: list[str]
    sources: list[str]
    row_count: int
    newest_date: date | None
    publication_id: int
    published_at: datetime
    changed_in: int | None
    changed_at: datetime | None
    deliveries: list[dict[str, Any]]
    checks: int
    checks_passed: int
    quality_history: list[dict[str, Any]]


def read(connection: database.Connection) -> list[Entry]:
    """All published marts, by name."""
    with connection.cursor(row_factory=class_row(Entry)) as cursor:
        return cursor.execute("select * from published._catalog order by mart").fetchall()


def remember_all(connection: database.Connection) -> None:
    """Do `remember` for every version of the code whose manifest is kept."""
    rows = connection.execute("select code_version, manifest from ops.code_manifests").fetchall()
    for version, packed in rows:
        remember(connection, version, json.loads(gzip.decompress(packed)))


def remember(connection: database.Connection, version: str, manifest: dict[str, Any]) -> None:
    """Keep what the code `version` says about its marts.

    Args:
        manifest: dbt's, as its JSON file holds it.
    """
    with connection.cursor() as cursor:
        cursor.executemany(
            f"insert into ops.mart_descriptions ({', '.join(_COLUMNS)})"
            f" values ({', '.join(['%s'] * len(_COLUMNS))}) on conflict do nothing",
            [
                (version, *_describe(manifest, node))
                for node in manifest["nodes"].values()
                if is_mart(node)
            ],
        )


def _describe(manifest: dict[str, Any], node: dict[str, Any]) -> tuple[Any, ...]:
    group = node["config"].get("group")
    owners = {each["name"]: each["owner"] for each in manifest["groups"].values()}
    columns = [
        {
            "name": column["name"],
            "type": column["data_type"] or "",
            "description": " ".join(column["description"].split()),
        }
        for column in node["columns"].values()
    ]
    parents = [
        manifest["nodes"][parent]["alias"]
        for parent in node["depends_on"]["nodes"]
        if parent in manifest["nodes"]
    ]
    return (
        node["alias"],
        " ".join(node["description"].split()),
        group,
        owners.get(group, {}).get("email"),
        node["config"]["meta"].get("partition_column"),
        Jsonb(columns),
        sorted(parents),
        sorted(set(_sources(manifest, node["unique_id"]))),
    )


def _sources(manifest: dict[str, Any], unique_id: str) -> Iterator[str]:
    waiting, seen = [unique_id], set[str]()
    while waiting:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        if at in manifest["sources"]:
            yield manifest["sources"][at]["identifier"]
        elif at in manifest["nodes"]:
            waiting += manifest["nodes"][at]["depends_on"].get("nodes", [])
