"""OpenLineage's words: events, datasets and facets as plain objects.

Pure. The library's own classes take half a second to load, which a run has better use for; the
tests compare what is written here with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

Facets = dict[str, Any]

NAMESPACE = "airworthy"
PRODUCER = "urn:airworthy"
_EVENT = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACET = "https://openlineage.io/spec/facets/{}/{}.json#/$defs/{}"
_VERSIONS = {
    "ColumnLineageDatasetFacet": "1-2-0",
    "DataQualityAssertionsDatasetFacet": "1-1-0",
    "DatasetVersionDatasetFacet": "1-0-1",
    "ErrorMessageRunFacet": "1-0-1",
    "InputStatisticsInputDatasetFacet": "1-0-0",
    "JobTypeJobFacet": "2-0-4",
    "OutputStatisticsOutputDatasetFacet": "1-0-2",
    "ParentRunFacet": "1-2-0",
    "SchemaDatasetFacet": "1-2-0",
    "TagsDatasetFacet": "1-0-0",
    "TagsRunFacet": "1-0-0",
}


@dataclass(frozen=True)
class Place:
    """Where datasets are: the warehouse's namespace and database, and the landing place."""

    warehouse: str
    database: str
    landing: str

    def table(self, relation: str, facets: Facets | None = None, **more: Facets) -> dict[str, Any]:
        name = f"{self.database}.{relation}"
        return {"namespace": self.warehouse, "name": name, "facets": facets or {}, **more}

    def file(self, uri: str, facets: Facets, **more: Facets) -> dict[str, Any]:
        """A landed file, by its path below the landing place."""
        parts = urlsplit(self.landing)
        if parts.scheme in ("", "file"):
            namespace, folder = "file", parts.path
        else:  # the host alone: an address may hold a password
            namespace, folder = f"{parts.scheme}://{parts.hostname}", parts.path.strip("/")
        name = f"{folder.rstrip('/')}/{uri}" if folder else uri
        return {"namespace": namespace, "name": name, "facets": facets, **more}

    def run_id(self, *what: object) -> str:
        """The same for the same things of the same warehouse, whoever tells it and how often."""
        return str(uuid5(NAMESPACE_URL, "/".join(map(str, (self.warehouse, self.database, *what)))))


@dataclass(frozen=True)
class Job:
    """What ran: a job's name, the id of this run of it, and when."""

    name: str
    kind: str
    run_id: str
    started_at: datetime
    ended_at: datetime
    tags: Mapping[str, object] = field(default_factory=dict)
    parent: tuple[str, str] | None = None  # run id and job


def facet(kind: str, **content: Any) -> Facets:
    """One facet, with what every facet has."""
    schema = _FACET.format(_VERSIONS[kind], kind, kind)
    return {"_producer": PRODUCER, "_schemaURL": schema} | content


def events(
    job: Job,
    *,
    state: str = "COMPLETE",
    error: str = "",
    inputs: Iterable[dict[str, Any]] = (),
    outputs: Iterable[dict[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Its start, and how it ended: COMPLETE, FAIL or ABORT."""
    end = _event(job, state, job.ended_at)
    end["inputs"], end["outputs"] = list(inputs), list(outputs)
    if error:
        end["run"]["facets"]["errorMessage"] = facet(
            "ErrorMessageRunFacet", message=error, programmingLanguage="SQL"
        )
    return [_event(job, "START", job.started_at), end]


def start(job: Job) -> dict[str, Any]:
    """Only that it began."""
    return _event(job, "START", job.started_at)


def end(job: Job, state: str) -> dict[str, Any]:
    """Only how it ended."""
    return _event(job, state, job.ended_at)


def tags(kind: str, given: Mapping[str, object]) -> Facets:
    """Small facts that no other facet has a place for."""
    return facet(
        kind,
        tags=[{"key": k, "value": str(v), "source": "AIRWORTHY"} for k, v in given.items()],
    )


def _event(job: Job, state: str, at: datetime) -> dict[str, Any]:
    run_facets: Facets = {}
    if job.tags:
        run_facets["tags"] = tags("TagsRunFacet", job.tags)
    if job.parent:
        run_id, name = job.parent
        run_facets["parent"] = facet(
            "ParentRunFacet", run={"runId": run_id}, job={"namespace": NAMESPACE, "name": name}
        )
    job_type = facet(
        "JobTypeJobFacet", processingType="BATCH", integration="AIRWORTHY", jobType=job.kind
    )
    return {
        "eventType": state,
        "eventTime": at.isoformat(),
        "producer": PRODUCER,
        "schemaURL": _EVENT,
        "run": {"runId": job.run_id, "facets": run_facets},
        "job": {"namespace": NAMESPACE, "name": job.name, "facets": {"jobType": job_type}},
        "inputs": [],
        "outputs": [],
    }
