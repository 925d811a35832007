"""Unit tests of models whose SQL changed run with the build, and block what fails."""

from __future__ import annotations

import yaml

from tests.pipeline.given import DATED, SQL, Project, describe, partitioned

_RAN = """
    select name, status from ops.run_nodes inner join ops.build_results using (run_id, unique_id)
    where resource_type = 'unit_test' and run_id = (select max(run_id) from ops.runs) order by 1
"""


def write_test(project: Project, expected: str, name: str = "keys_stay") -> None:
    row = {"reading_id": "a", "reading_date": "2013-03-10"}
    test = {
        "name": name,
        "model": "added",
        "given": [{"input": "ref('fct_readings')", "rows": [row]}],
        "expect": {"rows": [row | {"reading_id": expected}]},
    }
    project.write("models/marts/_unit.yml", yaml.safe_dump({"unit_tests": [test]}))


def test_a_failing_unit_test_of_a_new_mart_blocks_and_a_right_one_lets_it_pass(
    project: Project,
) -> None:
    made = project.made
    project.add("marts/added", describe("added", partitioned()))
    write_test(project, "b")
    publications = made.publications
    said = made.call("run", code=3)
    assert "keys_stay" in said
    assert made.publications == publications
    assert made.query("select to_regclass('published.added')::text") == [(None,)]
    write_test(project, "a")
    made.call("run")
    assert made.query(_RAN) == [("keys_stay", "pass")]
    assert "added" in made.changes()

    made.correct()
    made.call("run")
    assert made.query(_RAN) == [], "rows do not matter to it"
    write_test(project, "b", "keys_change")
    assert "keys_change" in made.call("run", code=3), "it is another test, of the same model"
    write_test(project, "a", "keys_change")
    made.call("run")
    assert made.has_nothing_to_do()

    project.write(
        "models/marts/added.sql", SQL.replace("reading_id,", "'x' as reading_id,") + DATED
    )
    assert "keys_change" in made.call("run", code=3), "the same test, of a changed model"


def test_it_also_runs_when_a_macro_of_its_model_changes(project: Project) -> None:
    made = project.made
    project.write("macros/key.sql", "{% macro key() %}reading_id{% endmacro %}")
    sql = SQL.replace("reading_id,", "{{ key() }} as reading_id,") + DATED
    project.add("marts/added", describe("added", partitioned()), sql)
    write_test(project, "a")
    made.call("run")
    project.write("macros/key.sql", "{% macro key() %}'x' || reading_id{% endmacro %}")
    assert "keys_stay" in made.call("run", code=3)
    assert made.query(_RAN) == [("keys_stay", "fail")]
