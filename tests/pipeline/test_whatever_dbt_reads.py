"""Whatever dbt reads is code: packages, their seeds, the environment, variables."""

from __future__ import annotations

from tests.pipeline.given import Project, describe
from tests.pipeline.test_changed_code import built

_MACRO = "{% macro label() %} 'one' {% endmacro %}"
_MODEL = "select region_id::text as reading_id, date '2013-03-09' as reading_date, "


def add_package(project: Project) -> None:
    """A package with a macro, a seed, and a model that the project gives a place."""
    project.write("dbt_packages/helpers/dbt_project.yml", "{name: helpers, version: 1.0.0}")
    project.write("dbt_packages/helpers/macros/label.sql", _MACRO)
    project.write("dbt_packages/helpers/seeds/labels.csv", "region_id\n1\n")
    project.write("dbt_packages/helpers/models/int_labels.sql",
                  "select region_id from {{ ref('labels') }}")  # fmt: skip
    project.made.edit("dbt_project.yml", "models:\n", "models:\n  helpers:\n"
                      "    +schema: intermediate\n    +materialized: table\n")  # fmt: skip


def test_a_packages_macro_seed_and_model_are_code(project: Project) -> None:
    made = project.made
    add_package(project)
    described = describe("labelled", {"materialized": "table"})
    described["columns"].append({"name": "label", "data_type": "text"})
    project.add("marts/labelled", described,
                _MODEL + "{{ helpers.label() }} as label from {{ ref('int_labels') }}")  # fmt: skip
    made.call("run")
    assert made.query("select reading_id, label from published.labelled") == [("1", "one")]
    project.write("dbt_packages/helpers/macros/label.sql", _MACRO.replace("one", "two"))
    made.call("run")
    assert built(made) == {"labelled"}
    project.write("dbt_packages/helpers/seeds/labels.csv", "region_id\n7\n")
    made.call("run")
    assert built(made) == {"labels", "int_labels", "labelled"}
    project.write("dbt_packages/helpers/models/int_labels.sql",
                  "select region_id + 1 as region_id from {{ ref('labels') }}")  # fmt: skip
    made.call("run")
    assert built(made) == {"int_labels", "labelled"}
    assert made.query("select reading_id, label from published.labelled") == [("8", "two")]
    assert made.has_nothing_to_do()


def test_a_value_from_the_environment_is_code(project: Project) -> None:
    made = project.made
    described = describe("tuned", {"materialized": "table"})
    described["columns"].append({"name": "label", "data_type": "text"})
    from_regions = " as label from {{ ref('regions') }} limit 1"
    project.add("marts/tuned", described,
                _MODEL + "'{{ env_var(\"LABEL\", \"none\") }}'" + from_regions)  # fmt: skip
    made.call("run")
    made.call("run", LABEL="a")
    assert built(made) == {"tuned"}
    assert made.query("select label from published.tuned") == [("a",)]
    assert "nothing was delivered or changed" in made.call("run", LABEL="a")
