"""Airflow itself, its scheduler and all: the picture tells the truth, whatever happens."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.support import points
from tests.support.orchestrators import (
    PRODUCER,
    Airflow,
    Found,
    digest_by_shell,
    new_day,
)
from tests.support.patience import until


def publishing_runs(airflow: Airflow) -> int:
    """How many DAG runs published."""
    ended = [run["dag_run_id"] for run in airflow.runs(query="&state=success")]
    return sum(airflow.tasks(run)["publish"]["state"] == "success" for run in ended)


def test_what_lands_is_published_as_the_shell_publishes_it(
    airflow: Airflow, tmp_path: Path
) -> None:
    made, day = airflow.checkout, new_day()
    before = made.publications
    made.land(day)  # the watcher on the landing place notices
    until(lambda: publishing_runs(airflow) == 1, 120, every=0.3)
    assert made.publications == before + 1
    assert airflow.client.get("importErrors")["import_errors"] == []
    assert made.value("select count(*) from published.fct_readings where reading_date = %s", day)
    assert made.call("digest") == digest_by_shell(tmp_path)
    page = (made.var / "reports/index.html").read_text()
    assert f"Readers see publication {before + 1} " in page
    tasks = airflow.tasks(airflow.runs()[0]["dag_run_id"])
    built = {name for name, task in tasks.items() if task["state"] == "success"}
    assert {"plan", PRODUCER, "build.models.marts.fct_readings.run", "gate", "publish"} <= built
    left_out = tasks["build.models.marts.dim_stations.run"]
    assert left_out["state"] == "skipped", "what a run leaves out is skipped"


def test_a_run_with_nothing_new_is_skipped(airflow: Airflow) -> None:
    run = airflow.start()
    assert airflow.end(run) == "success"
    states = {name: task["state"] for name, task in airflow.tasks(run).items()}
    assert states.pop("plan") == "success"
    assert set(states.values()) == {"skipped"}


def test_a_failed_test_and_a_failed_model_are_red_and_publish_nothing(airflow: Airflow) -> None:
    made = airflow.checkout
    before = made.publications
    new_test = made.project / "tests/data_tests/singular/assert_nothing_is_read.sql"
    new_test.parent.mkdir(parents=True)
    new_test.write_text("select * from {{ ref('fct_readings') }}")
    try:
        tasks = failed(airflow)
        assert tasks["gate"]["state"] == "failed"
    finally:
        new_test.unlink()

    mend = made.edit("models/marts/dim_stations.sql", "select * from named",
                     "select 1 / 0 as nothing, * from named")  # fmt: skip
    try:
        tasks = failed(airflow)
        assert tasks["build.models.marts.dim_stations.run"]["state"] == "failed"
        assert tasks[PRODUCER]["try_number"] == 1, "it cannot heal by itself"
    finally:
        mend()
    assert made.publications == before


def failed(airflow: Airflow) -> dict[str, Found]:
    """The tasks of a DAG run that fails and publishes nothing."""
    run = airflow.start()
    assert airflow.end(run) == "failed"
    tasks = airflow.tasks(run)
    assert tasks["publish"]["state"] == "upstream_failed"
    return tasks


def test_a_killed_producer_is_tried_again_and_publishes_once(airflow: Airflow) -> None:
    made = airflow.checkout
    before = made.publications
    with made.locked("candidate.fct_readings"):
        made.land(new_day())
        run, process = airflow.building()
        process.kill()
        again = until(lambda: _other(airflow.building(), process), 60, every=0.1)
        assert again
        worker = again.parent()
        assert worker, "the worker of the executor is the parent of the task's supervisor"
        worker.kill()
    assert airflow.end(run) == "success"
    assert airflow.tasks(run)[PRODUCER]["try_number"] == 3
    assert made.publications == before + 1


def _other(found: tuple[str, psutil.Process], process: psutil.Process) -> psutil.Process | None:
    return None if found[1].pid == process.pid else found[1]


def test_a_published_run_that_is_cleared_twice_publishes_no_second_time(airflow: Airflow) -> None:
    made = airflow.checkout
    run = next(
        run["dag_run_id"] for run in airflow.runs(query="&state=success")
        if airflow.tasks(run["dag_run_id"])["publish"]["state"] == "success"
    )  # fmt: skip
    before, digest = made.publications, made.call("digest")
    for tasks in ((), ("gate", "publish")):
        airflow.clear(run, *tasks)
        assert airflow.end(run) == "success"
    assert (made.publications, made.call("digest")) == (before, digest)


def test_of_a_run_in_a_shell_at_the_same_time_one_publishes(
    airflow: Airflow, tmp_path: Path
) -> None:
    made = airflow.checkout
    before = made.publications
    with made.locked("candidate.fct_readings"):
        made.land(new_day())
        run, _ = airflow.building()
        until(lambda: points.is_waiting(made, "dbt"), 60, every=0.1)
        assert "Another run is active" in made.call("run", code=75)
    assert airflow.end(run) == "success"
    assert made.has_nothing_to_do()
    assert made.publications == before + 1
    assert made.call("digest") == digest_by_shell(tmp_path)
