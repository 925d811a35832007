"""What one DAG tells the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow.sdk import Asset, AssetAlias


def tell_changed(outlet_events: Any, schema: str, tables: Iterable[str]) -> None:
    """Say that tables have new rows, from a task that has the schema's alias as an outlet."""
    for table in tables:
        outlet_events[AssetAlias(schema)].add(Asset(f"{schema}.{table}"))
