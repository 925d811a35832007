"""What no model makes any more goes from the candidate, and nothing published hangs on it."""

from __future__ import annotations

from tests.pipeline.given import SQL, Project, describe
from tests.pipeline.test_refused import refused

_THERE = "select to_regclass(%s)::text"


def test_what_no_model_makes_any_more_leaves_the_candidate_and_stays_published(
    project: Project,
) -> None:
    made = project.made
    table = {"materialized": "table"}
    project.add("marts/first", describe("first", table), SQL)
    project.add("marts/second", describe("second", table), "select * from {{ ref('first') }}")
    view = {"materialized": "view", "schema": "staging"}
    project.add(
        "staging/stg_third", describe("stg_third", view), "select * from {{ ref('second') }}"
    )
    made.call("run")
    made.execute("create table candidate.by_hand as select 1 as one")
    made.execute("create view public.of_first as select * from candidate.first")
    for path in ("marts/first", "marts/second", "staging/stg_third"):
        (made.project / f"models/{path}.sql").unlink()
    for folder in ("marts", "staging"):
        (made.project / f"models/{folder}/_added.yml").unlink()
    said = made.call("run")
    assert "candidate.first is made by no model any more, and stays: view of_first" in said
    found = {name: made.value(_THERE, name) for name in
             ("staging.stg_third", "candidate.second", "candidate.first", "candidate.by_hand",
              "published.first", "published.second")}  # fmt: skip
    assert found["staging.stg_third"] is None
    assert found["candidate.second"] is None
    assert all(found[name] for name in ("candidate.first", "candidate.by_hand"))
    assert all(found[name] for name in ("published.first", "published.second"))
    made.execute("drop view public.of_first")
    made.correct()
    assert "made by no model" not in made.call("run")
    assert made.value(_THERE, "candidate.first") is None


def test_nothing_published_hangs_on_what_a_build_drops(project: Project) -> None:
    made = project.made
    made.execute(
        "create view published.peek as select station_id from candidate.dim_stations;"
        "create table published.kept (station_id text references candidate.dim_stations);"
        "create sequence candidate.numbers; create table published.counted"
        " (number bigint default nextval('candidate.numbers'))"
    )
    made.correct()
    made.call("ingest")
    found = refused(project)
    assert {name: why[0][:45] for name, why in found.items()} == {
        "published.peek": "it depends on candidate.dim_stations, and wou",
        "published.kept": "it depends on candidate.dim_stations, and wou",
        "published.counted": "it depends on candidate.numbers, and would va",
    }
    assert made.value("select count(*) from published.peek") == 3
    made.execute("drop view published.peek; drop table published.kept, published.counted")
    made.call("run")
