"""A flow that fails, hangs, is cancelled or killed publishes nothing by half and leaves nothing."""

from __future__ import annotations

from tests.support.orchestrators import Prefect
from tests.support.patience import slowness, until

_MODEL = "models/marts/agg_stations_daily.sql"
_LAST = "select * from aggregated"
_SUITE = "expectations/agg_stations_daily.json"
_MART = "candidate.agg_stations_daily"
_IMPOSSIBLE = """
    {"type": "expect_table_row_count_to_equal", "kwargs": {"value": -1}, "severity": "critical",
     "meta": {"notes": "never"}},"""
_number = iter(range(1, 100))


def change_the_model(prefect: Prefect) -> None:
    """Let one model be due."""
    path = prefect.checkout.project / _MODEL
    head, _, _ = path.read_text().partition(_LAST)
    path.write_text(f"{head}{_LAST} where {next(_number)} > 0\n")


def test_a_failed_model_fails_the_flow_and_publishes_nothing(prefect: Prefect) -> None:
    made, before = prefect.checkout, prefect.checkout.digests()
    mend = made.edit(_MODEL, _LAST, f"{_LAST} where 1 / 0 = 1")
    run = prefect.start()
    assert prefect.end(run)["type"] == "FAILED"
    mend()
    assert prefect.task(run, "model agg_stations_daily")["state_name"] == "Failed"
    build = prefect.task(run, "build")
    assert (build["state_name"], build["run_count"]) == ("Failed", 1)
    assert prefect.task(run, "gate")["state_name"] == "Failed", "it says why"
    assert all(not task["name"].startswith("publish") for task in prefect.tasks(run))
    assert made.digests() == before


def test_a_blocking_gate_fails_the_flow_at_once(prefect: Prefect) -> None:
    made, before = prefect.checkout, prefect.checkout.digests()
    mend = made.edit(_SUITE, '"expectations": [', '"expectations": [' + _IMPOSSIBLE)
    run = prefect.start()
    ended = prefect.end(run)
    mend()
    assert ended["type"] == "FAILED"
    assert "expect_table_row_count_to_equal" in ended["message"]
    assert prefect.task(run, "gate")["run_count"] == 1
    assert made.digests() == before


def test_a_step_that_takes_too_long_is_ended_with_its_process(prefect: Prefect) -> None:
    change_the_model(prefect)
    limit = prefect.checkout.project / ".env"
    seconds = round(6 * slowness())  # enough for the steps before
    limit.write_text(f"STEP_TIMEOUT_SECONDS={seconds}\n")
    with prefect.checkout.locked(_MART):
        run = prefect.start()
        ended = prefect.end(run)
    limit.unlink()
    assert ended["type"] == "FAILED"
    assert f"Step build took more than {seconds} seconds" in ended["message"]
    assert prefect.step_processes() == []
    assert all(task["end_time"] for task in prefect.tasks(run))


def test_a_cancelled_flow_leaves_no_live_run(prefect: Prefect) -> None:
    made = prefect.checkout
    change_the_model(prefect)
    with made.locked(_MART):
        run = prefect.start()
        prefect.building(run, "agg_stations_daily")
        prefect.client.cancel(run)
        assert prefect.end(run)["type"] == "CANCELLED"
        assert prefect.step_processes() == []
    assert made.query("select state from ops.runs order by run_id desc limit 1") == [
        ("superseded",)
    ]


def test_a_killed_step_is_done_again(prefect: Prefect) -> None:
    change_the_model(prefect)
    with prefect.checkout.locked(_MART):
        run = prefect.start()
        prefect.building(run, "agg_stations_daily").kill()
    assert prefect.end(run)["type"] == "COMPLETED"
    assert prefect.task(run, "build")["run_count"] == 2


def test_a_killed_flow_is_crashed_and_the_next_converges(prefect: Prefect) -> None:
    made, before = prefect.checkout, prefect.checkout.digests()
    change_the_model(prefect)
    with made.locked(_MART):
        run = prefect.start()
        prefect.building(run, "agg_stations_daily")
        prefect.flow_process().kill()
        assert prefect.end(run)["type"] == "CRASHED"
        until(lambda: not prefect.step_processes(), 60)
    assert prefect.end(prefect.start())["type"] == "COMPLETED"
    assert made.digests() == before


def test_a_held_publication_is_no_failure_and_comes_later(prefect: Prefect) -> None:
    made = prefect.checkout
    made.call("rollback", "--reason", "tested")
    held = made.digests()
    change_the_model(prefect)
    ended = prefect.end(prefect.start())
    assert ended["type"] == "COMPLETED", ended["message"]
    assert "passed and waits. Publishing is held since" in ended["message"]
    assert made.digests() == held
    made.call("resume", "--reason", "tested")
    assert prefect.end(prefect.start())["message"].endswith("is published.")
