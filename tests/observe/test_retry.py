"""What arrived and came to nothing is tried once more by whoever watches, and not twice."""

from __future__ import annotations

from tests.support import files
from tests.support.checkout import Checkout
from tests.support.points import MIDDLE, stop_at


def test_what_came_to_nothing_is_tried_once_more_and_not_twice(empty: Checkout) -> None:
    empty.list_stations()
    empty.step("take_in", ["stations"])
    empty.age()
    with stop_at(empty, MIDDLE["plan"]) as point:
        planner = empty.start("plan")
        point.reached(planner)
        assert empty.step("retry") == [], "it is under way"
        point.release()
        assert planner.wait() == 0, planner.said
    # Whoever planned it is gone.
    assert empty.step("retry") == [], "it may be under way"
    empty.age()
    assert empty.step("retry") == ["stations"]
    assert "stations: arrived by " in empty.said
    empty.age()
    assert empty.step("retry") == []
    empty.land(files.DAY)
    empty.step("take_in", ["readings"])
    empty.age()
    assert empty.step("retry") == ["readings", "stations"]


def test_no_other_try_is_made_of_what_was_judged_unfit_or_is_held(empty: Checkout) -> None:
    empty.land(files.DAY)
    empty.step("take_in", ["readings"])
    assert empty.step("plan") == 1
    empty.execute("update ops.runs set state = 'built'")  # dbt had begun
    empty.call("gate", code=3)  # nothing was built: there is no evidence against the data
    empty.age()
    unfit = empty.execute(
        "update ops.gate_results set observed = 'fail' where check_id ="
        " (select min(check_id) from ops.gate_results where not passed)"
    )
    assert unfit == 1
    assert empty.step("retry") == []
    empty.execute("update ops.gate_results set observed = 'no result' where not passed")
    empty.execute("insert into ops.holds (set_by, reason) values ('tester', 'tested')")
    assert empty.step("retry") == []
    empty.execute("update ops.holds set lifted_at = now(), lifted_by = 'tester'")
    assert empty.step("retry") == ["readings"]


def test_watching_with_retry_publishes_what_nobody_did(empty: Checkout) -> None:
    empty.land(files.DAY)
    empty.list_stations()
    for sources in empty.step("find_new"):
        empty.step("take_in", sources)
    empty.age()
    empty.call("watch")
    assert empty.publications == 0
    assert "published by nobody; one more run" in empty.call("watch", "--retry")
    assert empty.publications == 1
    empty.age()
    assert empty.step("retry") == []
    said = empty.call("watch", "--retry", "--at", "2013-03-09", code=2)
    assert "AT only looks, RETRY starts a run" in said
