"""What `make lint` checks, and dbt's own tests on invented rows; part of `make test`."""

from __future__ import annotations

import json
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


# dbt takes longer to load than what is asked of it.
_DBT = """
import json, sys
from dbt.cli.main import dbtRunner
for arguments in json.loads(sys.argv[1]):
    done = dbtRunner().invoke(arguments)
    print("success:", done.success, done.exception or "", flush=True)
"""


def test_an_analyst_builds_and_tests_everything_in_schemas_of_her_own(
    analyst: dict[str, str], flights: Checkout
) -> None:
    asked = [
        ["--warn-error", "parse", "--no-partial-parse"],
        ["build"],
        ["build", "--target", "prod"],
    ]
    done = subprocess.run(
        [sys.executable, "-c", _DBT, json.dumps(asked)], cwd=PROJECT, text=True,
        env=environment_with(analyst), capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    output = done.stdout
    ended = [line for line in output.splitlines() if line.startswith("success: ")]
    assert ended[:2] == ["success: True ", "success: True "], output
    assert "unit tests" in output
    assert "ERROR=0" in output
    schemas = "select distinct schemaname from pg_tables where tablename = 'fct_flights'"
    assert flights.query(schemas) == [("dev_tester_candidate",)]
    # Target prod is for runs of the ledger, and this is none.
    assert ended[2].startswith("success: False")
    assert "this is no run" in output
