"""What `make lint` checks, and dbt's own tests on invented rows; part of `make test`."""

from __future__ import annotations

import subprocess
import sys
from datetime import date

import pytest

from orchestration import database
from orchestration.building.build import environment
from orchestration.ingesting.ingest import ingest
from orchestration.settings import Settings, environment_with
from tests.conftest import PROJECT
from tests.flights import land_days


def call(*arguments: str, variables: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=PROJECT, text=True, capture_output=True,
        env=environment_with(variables or {}),
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


@pytest.fixture
def analyst(empty_warehouse: Settings) -> dict[str, str]:
    """What a shell of an analyst's holds: the warehouse, with one day ingested."""
    land_days(empty_warehouse, date(2013, 3, 9))
    with database.connect(empty_warehouse) as connection:
        ingest(empty_warehouse, connection)
    return environment(empty_warehouse, None) | {"DBT_TARGET_PATH": str(empty_warehouse.var)}


def test_python_is_linted() -> None:
    call("ruff", "check", ".")


def test_python_is_formatted() -> None:
    call("ruff", "format", "--check", ".")


def test_python_is_typed() -> None:
    call("mypy")


def test_sql_is_linted(analyst: dict[str, str]) -> None:
    call("sqlfluff", "lint", "models", "tests/data_tests", variables=analyst)


def test_the_project_parses_without_a_warning(analyst: dict[str, str]) -> None:
    call("dbt.cli.main", "--warn-error", "parse", "--no-partial-parse", variables=analyst)


def test_an_analyst_builds_and_tests_everything_in_schemas_of_her_own(
    analyst: dict[str, str], empty_warehouse: Settings
) -> None:
    output = call("dbt.cli.main", "build", variables=analyst)
    assert "unit tests" in output
    assert "ERROR=0" in output
    with database.connect(empty_warehouse) as connection:
        schemas = connection.execute(
            "select distinct schemaname from pg_tables where tablename = 'fct_flights'"
        ).fetchall()
    assert schemas == [("dev_tester_candidate",)]


def test_target_prod_outside_a_run_is_refused(analyst: dict[str, str]) -> None:
    with pytest.raises(AssertionError, match="this is no run"):
        call("dbt.cli.main", "build", "--target", "prod", variables=analyst)
