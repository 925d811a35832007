"""A range of dates, rebuilt and published chunk by chunk; both ends are included.

Started by hand, with what `make backfill` takes. Each chunk is a task: planned, built, audited and
published on its own, one at a time, and a run of `warehouse` that waits goes before the next. How
many chunks are in hand is the size of pool `backfill`. A backfill that was stopped anywhere, or
begun in a shell or in Prefect, goes on here with its number as `resume`.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from orchestration import steps
from orchestration.dags.parts.retries import RETRIES

_DATE = {"type": ["null", "string"], "format": "date"}


def _flag(text: str) -> Param:
    return Param(False, type="boolean", description=text)


with DAG(
    dag_id="backfill",
    schedule=None,
    max_active_runs=4,
    catchup=False,
    is_paused_upon_creation=False,
    doc_md=__doc__,
    tags=["airworthy"],
    default_args={"owner": "flight-analytics", **RETRIES, "pool": "backfill"},
    params={
        "start": Param(None, description="First date.", **_DATE),
        "end": Param(None, description="Last date, included.", **_DATE),
        "chunk": Param("auto", type="string", pattern=r"^(auto|day|week|month|[1-9][0-9]{0,4}d)$"),
        "models": Param([], type="array", items={"type": "string"}, description="These; else all."),
        "reason": Param("", type="string", maxLength=1000),
        "dry_run": Param("", enum=["", "1", "diff"], description="1: only plan; diff: compare."),
        "allows_gaps": _flag("Days without delivery are right."),
        "backwards": _flag("Newest chunk first."),
        "stage": _flag("Publish all chunks at once, at the end."),
        "keep_going": _flag("Past chunks that the gate blocks."),
        "resume": Param(None, type=["null", "integer"], minimum=1, description="Go on with this."),
        "repin": _flag("With resume: accept changed code, and start over."),
    },
):

    @task
    def plan(*, params: dict[str, Any], ti: Any) -> list[tuple[int, int, str]]:
        planned = steps.plan_backfill(dict(params))
        number = planned["backfill"] or 0  # Airflow finds no XCom that is None
        ti.xcom_push("backfill", number)
        return [(number, *chunk) for chunk in planned["chunks"]]

    @task(map_index_template="{{ dates }}")
    def chunk(which: tuple[int, int, str]) -> None:
        number, part, dates = which
        get_current_context()["dates"] = dates
        steps.do_chunk(number, part)

    @task(trigger_rule="none_failed")
    def finish(number: int) -> None:
        if not number:
            raise AirflowSkipException("It was only looked at")
        steps.finish_backfill(number)

    planned = plan()
    chunk.expand(which=planned) >> finish(planned["backfill"])
