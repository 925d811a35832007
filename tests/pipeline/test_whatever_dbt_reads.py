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


def test_what_changes_sql_without_changing_a_model_is_code(project: Project) -> None:
    """A macro in the place of one of dbt's, a package's variable, meta that SQL reads, a source's
    table, a hook around the run."""
    made = project.made
    add_package(project)
    columns = [
        {"name": name, "data_type": "text"} for name in ("hashed", "label", "word", "deep", "rate")
    ]
    described = describe("odd", {"materialized": "table", "meta": {"word": "a"}})
    described["columns"] += columns
    project.add("marts/odd", described,
                _MODEL + "{{ dbt.hash('region_id') }} as hashed, label,"
                " '{{ config.get(\"meta\").word }}' as word,"
                " '{{ model.config.meta.get(\"word\") }}' as deep,"
                " (select rate from {{ source('others', 'rates') }}) as rate"
                " from {{ ref('int_labels') }}"
                )  # fmt: skip
    project.write(
        "dbt_packages/helpers/models/int_labels.sql",
        "select region_id, '{{ var(\"tone\") }}' as label from {{ ref('labels') }}",
    )
    table = "{name: others, schema: public, tables: [{name: rates, identifier: rates_a}]}"
    project.write("models/marts/_sources.yml", f"sources: [{table}]")
    for name, rate in (("rates_a", "1"), ("rates_b", "2")):
        made.execute(
            f"create table public.{name} as select '{rate}'::text as rate;"
            f"grant select on public.{name} to airworthy_transformer"
        )
    package = "{name: helpers, version: 1.0.0, vars: {tone: low}}"
    project.write("dbt_packages/helpers/dbt_project.yml", package)
    made.call("run")
    row = "select label, word, deep, length(hashed) from published.odd"
    assert made.query(row) == [("low", "a", "a", 32)]

    project.write("macros/hash.sql", "{% macro postgres__hash(field) %}'short'{% endmacro %}")
    made.call("run")
    assert "odd" in built(made)
    assert made.query(row) == [("low", "a", "a", 5)]

    project.write("dbt_packages/helpers/dbt_project.yml", package.replace("low", "high"))
    made.call("run")
    assert built(made) == {"int_labels", "odd"}
    assert made.query(row) == [("high", "a", "a", 5)]

    made.edit("models/marts/_added.yml", "word: a", "word: b")
    made.call("run")
    assert built(made) == {"odd"}
    assert made.query(row) == [("high", "b", "b", 5)]

    made.edit("models/marts/_sources.yml", "rates_a", "rates_b")
    made.call("run")
    assert built(made) == {"odd"}
    assert made.query("select rate from published.odd") == [("2",)]


def test_a_hook_around_the_run_is_code(project: Project) -> None:
    made = project.made
    hooks = 'on-run-start: "{{ begin_build() }}"'
    made.edit("dbt_project.yml", hooks, "on-run-start: ['{{ begin_build() }}', 'select 1']")
    made.call("run")
    why = made.query("select distinct why from ops.run_nodes where resource_type = 'model'"
                     " and run_id = (select max(run_id) from ops.runs)")  # fmt: skip
    assert any("a hook around each run changed" in text for (text,) in why)
    project.write("macros/noise.sql", "{% macro noise() %} select 2 {% endmacro %}")
    assert "no model can have changed" in made.call("run")
    made.edit("dbt_project.yml", "'select 1'", "'{{ noise() }}'")
    made.call("run")
    project.write("macros/noise.sql", "{% macro noise() %} select 3 {% endmacro %}")
    made.call("run")
    assert "fct_readings" in built(made)
