"""A breaking change of a mart: both versions are published side by side until the old one goes."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from orchestration import database
from orchestration.errors import AirworthyError, UsageError
from orchestration.publishing import retention
from orchestration.settings import Settings
from tests.flights import land_days
from tests.steps import copy_project, go, query

_FIRST = """
version: 2

models:
  - name: dim_airlines
    description: One row per airline that flies from New York.
    latest_version: 2
    config: {group: flight-analytics}
    columns:
      - {name: airline_id, data_type: text, constraints: [{type: primary_key}]}
      - {name: airline_name, data_type: text}
    versions:
      - v: 1
        defined_in: dim_airlines
        deprecation_date: 2099-12-31
        config: {alias: dim_airlines}
      - v: 2
        columns:
          - {include: all, exclude: [airline_name]}
          - {name: name, data_type: text}
"""


@pytest.fixture
def given(empty_warehouse: Settings, tmp_path: Path) -> Settings:
    """A day is published, by a copy of the project that a test may change."""
    given = replace(empty_warehouse, project=copy_project(tmp_path / "project"), retain_days=0)
    land_days(given, date(2013, 3, 9))
    go(given)
    return given


def test_two_versions_are_published_side_by_side_until_the_old_one_leaves(given: Settings) -> None:
    folder = next(given.project.glob("models/marts/*/dim_airlines.sql")).parent
    old, yml = folder / "dim_airlines.sql", folder / "dim_airlines.yml"
    before = old.read_text(), yml.read_text()
    old.write_text(f"select airline_id, airline_name as name from ({before[0]}) as airlines")
    yml.write_text(before[1].replace("airline_name", "name"))
    suite = given.project / "expectations/dim_airlines.json"
    expectations = suite.read_text()
    suite.write_text(expectations.replace("airline_name", "name"))
    with pytest.raises(UsageError, match="airline_name dropped or retyped"):
        go(given)

    old.write_text(before[0])
    suite.write_text(expectations)
    yml.write_text(_FIRST)
    (folder / "dim_airlines_v2.sql").write_text(
        f"select airline_id, airline_name as name from ({before[0]}) as airlines"
    )
    new_suite = given.project / "expectations/dim_airlines_v2.json"
    new_suite.write_text(expectations.replace("airline_name", "name"))
    assert go(given).publication
    both = "select count(*) from published.{} as a join published.{} as b using (airline_id)"
    counted = query(given, both.format("dim_airlines", "dim_airlines_v2"))
    assert counted == [(16,)]

    # The removal date has come: the first version leaves the project, and with it its readers.
    old.unlink()
    suite.unlink()
    head, _, tail = _FIRST.partition("      - v: 1")
    yml.write_text(head + "      - v: 2" + tail.partition("      - v: 2")[2])
    land_days(given, date(2013, 3, 10))
    assert go(given).publication
    tables = "select relname from pg_class where oid = to_regclass('published.dim_airlines')"
    with database.connect(given) as connection:
        retention.collect(given, connection)
        assert query(given, tables), "a retained publication shows it"
        forgetful = replace(given, retain_publications=1)
        connection.execute("create view public.mine as select * from published.dim_airlines")
        with pytest.raises(AirworthyError, match="still in use"):
            retention.collect(forgetful, connection)
        connection.execute("drop view public.mine")
        assert retention.collect(forgetful, connection).marts == ("dim_airlines",)
    assert query(given, tables) == []
    assert query(given, "select count(*) from published.dim_airlines_v2") == [(16,)]
