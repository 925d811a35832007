"""The small project, to which a test adds models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.support.checkout import Checkout

DATED = "where {{ is_in_run_partitions('reading_date') }}"
SQL = "select reading_id, reading_date from {{ ref('fct_readings') }} "


def describe(model: str, config: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The yml of a model with a key, two columns and what is given."""
    columns: list[dict[str, Any]] = [
        {"name": "reading_id", "data_type": "text", "constraints": [{"type": "primary_key"}]},
        {"name": "reading_date", "data_type": "date", "constraints": [{"type": "not_null"}]},
    ]
    return {"name": model, "columns": columns, "config": config} | more


def partitioned(column: str = "reading_date", **config: Any) -> dict[str, Any]:
    return {"materialized": "incremental", "meta": {"partition_column": column}} | config


class Project:
    """The small project, to which a test adds models."""

    def __init__(self, made: Checkout) -> None:
        self.made = made
        self._described: dict[str, list[dict[str, Any]]] = {}

    def add(self, path: str, described: dict[str, Any], sql: str = SQL + DATED) -> None:
        """A model, and a suite as marts need it."""
        self.write(f"models/{path}.sql", sql)
        folder = str(Path("models", path).parent)
        self._described.setdefault(folder, []).append(described)
        content = {"version": 2, "models": self._described[folder]}
        self.write(f"{folder}/_added.yml", yaml.safe_dump(content, sort_keys=False))
        self.write(f"expectations/{described['name']}.json", SUITE)

    def write(self, name: str, text: str) -> Path:
        path = self.made.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


SUITE = """{"name": "added", "expectations": [{"type": "expect_column_to_exist",
"kwargs": {"column": "reading_id"}, "severity": "critical"}]}"""
