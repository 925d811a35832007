"""Facets that several events have: columns, where they come from, what was checked.

Pure.
"""

from __future__ import annotations

from typing import Any

from orchestration.lineage import columns
from orchestration.lineage.events import Facets, Place, facet


def schema(schema: columns.Schema, relation: str) -> Facets:
    fields = [{"name": name, "type": kind} for name, kind in schema.get(relation, {}).items()]
    return {"schema": facet("SchemaDatasetFacet", fields=fields)} if fields else {}


def column_lineage(place: Place, origins: columns.Columns) -> Facets:
    return facet("ColumnLineageDatasetFacet", fields={
        column: {"inputFields": [
            {"namespace": place.warehouse, "name": f"{place.database}.{relation}", "field": source}
            for relation, source in sources
        ]}
        for column, sources in origins.items()
    })  # fmt: skip


def asserted(place: Place, relation: str, assertions: list[Facets]) -> dict[str, Any]:
    found = facet("DataQualityAssertionsDatasetFacet", assertions=assertions)
    return place.table(relation, inputFacets={"dataQualityAssertions": found})


def assertion(
    name: str, success: bool, severity: str, column: str, actual: str, expected: str = ""
) -> Facets:
    given = {"column": column, "actual": actual, "expected": expected}
    return {
        "assertion": name, "name": name, "success": success, "severity": severity,
    } | {key: value for key, value in given.items() if value}  # fmt: skip
