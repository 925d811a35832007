"""What `make lint` checks, and dbt's own tests on invented rows; part of `make test`."""

from __future__ import annotations

import shlex
import subprocess
import sys
from datetime import date

import pytest

from orchestration.settings import PROJECT, environment_with
from tests.support.checkout import Checkout


def call(*arguments: str, variables: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=PROJECT, text=True, capture_output=True,
        env=environment_with(variables or {}),
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


@pytest.fixture
def analyst(flights: Checkout) -> dict[str, str]:
    """What a shell of an analyst's holds: the warehouse, with one day ingested."""
    flights.land_flights(date(2013, 3, 9))
    flights.call("ingest")
    said = flights.call("env").splitlines()
    exported = (line.removeprefix("export ").split("=", 1) for line in said)
    given = {name: shlex.split(value)[0] if value else "" for name, value in exported}
    return given | {"DBT_TARGET_PATH": str(flights.var / "target")}


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
    analyst: dict[str, str], flights: Checkout
) -> None:
    output = call("dbt.cli.main", "build", variables=analyst)
    assert "unit tests" in output
    assert "ERROR=0" in output
    schemas = "select distinct schemaname from pg_tables where tablename = 'fct_flights'"
    assert flights.query(schemas) == [("dev_tester_candidate",)]


def test_target_prod_outside_a_run_is_refused(analyst: dict[str, str]) -> None:
    with pytest.raises(AssertionError, match="this is no run"):
        call("dbt.cli.main", "build", "--target", "prod", variables=analyst)
