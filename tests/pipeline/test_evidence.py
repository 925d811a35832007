"""What the gate and the publication refuse: a run whose evidence is not whole."""

from __future__ import annotations

import json
from datetime import timedelta

import psycopg
import pytest

from tests.support.checkout import Checkout
from tests.support.files import DAY, readings

SUITE = "expectations/fct_readings.json"


def run_of(made: Checkout) -> int:
    """The newest run's number."""
    return int(made.value("select max(run_id) from ops.runs"))


def require_blocked(made: Checkout) -> None:
    """Whoever asks for the blocked run's publication is refused."""
    before = made.digests()
    assert "There is no unfinished run" in made.call("publish", code=1)
    assert "has no passing verdict" in made.fail("publish", run_of(made))
    assert made.digests() == before


def blocking(made: Checkout) -> dict[str, str]:
    """What the newest verdict names, and what was observed."""
    return dict(made.query(
        "select subject, observed from ops.gate_results where not passed"
        " and severity = 'critical' and run_id = (select max(run_id) from ops.runs)"
    ))  # fmt: skip


def test_missing_evidence_blocks(built: Checkout) -> None:
    deleted = built.execute(
        "delete from ops.build_results where unique_id = 'model.airworthy.agg_stations_daily'"
        " and run_id = (select max(run_id) from ops.runs)"
    )
    assert deleted == 1
    assert "agg_stations_daily: model ran: no result" in built.call("gate", code=3)
    assert blocking(built) == {"agg_stations_daily": "no result"}
    require_blocked(built)


def test_a_missing_or_empty_suite_blocks(built: Checkout) -> None:
    run_id = run_of(built)
    suite = built.project / SUITE
    whole = suite.read_text()
    suite.unlink()
    assert "fct_readings: suite is there" in built.call("gate", code=3)
    assert blocking(built).keys() == {"fct_readings"}
    for content in ("{}", '{"expectations": []}', "{", "[]"):
        suite.write_text(content)
        assert "fct_readings: suite is there" in built.fail("gate", run_id), content
        assert blocking(built).keys() == {"fct_readings"}, content
    require_blocked(built)
    suite.write_text(whole)
    built.step("gate", run_id)


def test_an_expectation_that_cannot_run_blocks(built: Checkout) -> None:
    unknown = {
        "type": "expect_column_values_to_not_be_null",
        "severity": "warning",
        "kwargs": {"column": "no_such_column"},
    }
    (built.project / SUITE).write_text(json.dumps({"expectations": [unknown]}))
    assert "no_such_column" in built.call("gate", code=3)
    assert blocking(built).keys() == {"great_expectations"}


def test_a_candidate_that_changed_after_the_audit_is_refused(built: Checkout) -> None:
    before = built.digests()
    built.call("gate")
    built.execute("update candidate.fct_readings set _line = 0 where reading_date = %s", DAY)
    assert "changed after it was audited" in built.call("publish", code=3)
    assert built.digests() == before


def test_a_superseded_run_can_neither_judge_nor_publish(built: Checkout) -> None:
    run_id = run_of(built)
    before = built.digests()
    built.call("gate")
    newer = built.step("plan")
    assert newer > run_id
    assert "superseded" in built.fail("gate", run_id)
    assert "superseded" in built.fail("publish", run_id)
    assert built.digests() == before
    assert built.step("build", newer) == []
    built.step("gate", newer)
    assert set(built.step("publish", newer)) == {"fct_readings", "agg_stations_daily"}


def test_the_database_itself_refuses_a_publication_without_a_passing_verdict(
    built: Checkout,
) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        built.execute(
            "insert into ops.publications (run_id, base_run_id, as_of, code_version, published_by)"
            " select max(run_id), 1, 1, '', '' from ops.runs"
        )


def test_a_build_reads_only_what_the_plan_pinned(due: Checkout) -> None:
    day = DAY + timedelta(2)
    due.call("ingest")
    run_id = due.step("plan")
    due.deliver(readings(day)[:10], day)
    assert "1 deliveries loaded: 9 rows" in due.call("ingest")
    assert due.step("build", run_id) == []
    rows = due.value("select count(*) from candidate.fct_readings where reading_date = %s", day)
    assert rows == 72


def test_code_that_changed_after_the_plan_is_not_built(due: Checkout) -> None:
    due.call("ingest")
    run_id = due.step("plan")
    undo = due.edit("models/marts/dim_stations.sql", "with\n", "-- another word\nwith\n")
    said = due.call("build", code=1)
    assert f"changed after run {run_id} was planned" in said
    undo()
    due.call("build")
