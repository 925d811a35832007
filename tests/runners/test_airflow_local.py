"""Cosmos's mode LOCAL through the real scheduler: a dbt per model does the same."""

from __future__ import annotations

from tests.support.orchestrators import Airflow
from tests.support.receiver import Receiver

_MODEL = "models/marts/agg_stations_daily.sql"
_DAG = "warehouse_local"


def test_a_dbt_per_model_does_the_same(airflow: Airflow, collector: Receiver) -> None:
    made = airflow.checkout
    before = made.publications
    mend = made.edit(_MODEL, "select * from", "select 1 / 0 as nothing, * from")
    run = airflow.start(_DAG)
    assert airflow.end(run, _DAG) == "failed"
    failed = {name for name, t in airflow.tasks(run, _DAG).items() if t["state"] == "failed"}
    assert "build.models.marts.agg_stations_daily.run" in failed
    assert made.publications == before
    mend()
    undo = made.edit(_MODEL, "select * from aggregated", "select aggregated.* from aggregated")
    run = airflow.start(_DAG)
    assert airflow.end(run, _DAG) == "success"
    states = {name: task["state"] for name, task in airflow.tasks(run, _DAG).items()}
    assert states["build.models.marts.agg_stations_daily.run"] == "success"
    assert states["build.models.marts.agg_stations_daily.test"] == "success"
    assert states["build.models.marts.dim_stations.run"] == "skipped"
    assert made.publications == before + 1
    undo()
    names = {event["job"]["name"] for event in collector.heard}
    assert f"{_DAG}.publish" in names, "Airflow's own lineage goes to the same address"
