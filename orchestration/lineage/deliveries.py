"""Events about deliveries: which files came into which table, with their checksums.

Reads `ops.deliveries`; writes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from orchestration.lineage import columns, facets
from orchestration.lineage.events import Facets, Job, Place, events, facet, tags
from orchestration.lineage.telling import Pending, Telling


def pending(telling: Telling) -> list[Pending]:
    """One job per source; all files that it took in at once are its inputs."""
    rows = telling.rows(
        "select deliveries.* from ops.deliveries"
        " where delivery_id > (select until from ops.lineage_told where what = 'deliveries')"
        " order by delivery_id limit 10000"
    )
    if not rows:
        return []
    groups: dict[tuple[str, bool], list[Any]] = defaultdict(list)
    for row in rows:
        if row.outcome != "withdrawn":
            groups[row.source, row.outcome == "rejected"].append(row)
    schema = columns.catalogue(telling.connection)
    told = []
    for (source, is_rejected), taken in groups.items():
        loaded = [row for row in taken if row.outcome == "loaded"]
        output = telling.place.table(
            f"raw.{source}",
            facets.schema(schema, f"raw.{source}"),
            outputFacets={"outputStatistics": facet(
                "OutputStatisticsOutputDatasetFacet",
                rowCount=sum(row.rows_loaded for row in loaded),
            )},
        )  # fmt: skip
        job = Job(
            f"ingest.{source}", "INGEST",
            telling.place.run_id("ingest", source, taken[0].delivery_id),
            min(row.started_at for row in taken), max(row.recorded_at for row in taken),
        )  # fmt: skip
        told += events(
            job,
            state="FAIL" if is_rejected else "COMPLETE",
            # A reason may quote a value; the names of the files are enough.
            error=f"{len(taken)} files were rejected" if is_rejected else "",
            inputs=[_file(telling.place, row) for row in taken],
            outputs=[output] if loaded else [],
        )
    last = rows[-1]
    return [Pending("deliveries", 0, last.delivery_id, last.recorded_at, told)]


def _file(place: Place, row: Any) -> dict[str, Any]:
    described: Facets = {
        "tags": tags("TagsDatasetFacet", {
            "delivery_id": row.delivery_id, "outcome": row.outcome,
            "contract_version": row.contract_version, "slice_date": row.slice_date,
            "rows_quarantined": row.rows_quarantined,
        }),
    }  # fmt: skip
    if row.sha256:
        described["version"] = facet(
            "DatasetVersionDatasetFacet", datasetVersion=f"sha256:{row.sha256}"
        )
    statistics = facet(
        "InputStatisticsInputDatasetFacet",
        rowCount=row.rows_received, size=row.size_bytes, fileCount=1,
    )  # fmt: skip
    return place.file(row.uri, described, inputFacets={"inputStatistics": statistics})
