"""Events of lineage, compared with the classes of OpenLineage's own library."""

from __future__ import annotations

import json
from typing import Any

from openlineage.client import event_v2, facet_v2

from tests.support.checkout import Checkout

Event = dict[str, Any]

_ASSERTIONS = facet_v2.data_quality_assertions_dataset
_WRITTEN = facet_v2.output_statistics_output_dataset
# The wheel carries no JSON schema; its classes are generated from the official one.
_FACETS: dict[str, Any] = {
    "columnLineage": facet_v2.column_lineage_dataset.ColumnLineageDatasetFacet,
    "dataQualityAssertions": _ASSERTIONS.DataQualityAssertionsDatasetFacet,
    "errorMessage": facet_v2.error_message_run.ErrorMessageRunFacet,
    "inputStatistics": facet_v2.input_statistics_input_dataset.InputStatisticsInputDatasetFacet,
    "jobType": facet_v2.job_type_job.JobTypeJobFacet,
    "outputStatistics": _WRITTEN.OutputStatisticsOutputDatasetFacet,
    "parent": facet_v2.parent_run.ParentRunFacet,
    "schema": facet_v2.schema_dataset.SchemaDatasetFacet,
    "version": facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet,
}
_PARTS: dict[str, Any] = {
    "assertions": _ASSERTIONS.Assertion,
    "inputFields": facet_v2.column_lineage_dataset.InputField,
}


def written(made: Checkout) -> list[Event]:
    """The events in the file, oldest first."""
    text = (made.var / "lineage/events.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def tags(facets: Event) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in facets.get("tags", {}).get("tags", [])}


def ended(events: list[Event], job: str) -> Event:
    """The one event that ends a job."""
    (event,) = [e for e in events if e["job"]["name"] == job and e["eventType"] != "START"]
    return event


def by_table(datasets: list[Event]) -> dict[str, Event]:
    """Datasets by schema and table."""
    return {dataset["name"].partition(".")[2]: dataset for dataset in datasets}


def require_well_formed(event: Event) -> None:
    """Raise if the library knows no such event, facet or field, or another schema of one."""
    event_v2.RunEvent(
        eventTime=event["eventTime"],
        producer=event["producer"],
        run=event_v2.Run(runId=event["run"]["runId"]),
        job=event_v2.Job(namespace=event["job"]["namespace"], name=event["job"]["name"]),
        eventType=event_v2.RunState[event["eventType"]],
    )
    assert event["schemaURL"].endswith("OpenLineage.json#/$defs/RunEvent")
    _check(event["run"]["facets"], facet_v2.tags_run.TagsRunFacet)
    _check(event["job"]["facets"], None)
    for dataset in event["inputs"] + event["outputs"]:
        assert set(dataset) <= {"namespace", "name", "facets", "inputFacets", "outputFacets"}
        for key in ("facets", "inputFacets", "outputFacets"):
            _check(dataset.get(key, {}), facet_v2.tags_dataset.TagsDatasetFacet)


def _check(facets: Event, tags: Any) -> None:
    for name, content in facets.items():
        kind = tags if name == "tags" else _FACETS[name]
        own = {key: value for key, value in content.items() if not key.startswith("_")}
        made = kind(**own)
        assert content["_schemaURL"] == made._schemaURL
        for parts in (own, *own.get("fields", {}).values()) if name == "columnLineage" else (own,):
            for key, part in _PARTS.items():
                for each in parts.get(key, []):
                    part(**each)
