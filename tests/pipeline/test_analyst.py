"""What an analyst has: dbt itself, deferring to what is published, and a page of documentation."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from tests.support.checkout import Checkout
from tests.support.files import DAY

# dbt's own way of being called from Python: its loading, of seconds, serves several commands.
_DBT = """
import json, sys
from dbt.cli.main import dbtRunner
for arguments in json.loads(sys.argv[1]):
    done = dbtRunner().invoke(arguments)
    print("success:", done.success, done.exception or "", flush=True)
"""


def dbt(made: Checkout, *commands: tuple[str, ...]) -> tuple[str, list[str]]:
    """What dbt says to an analyst in her folder, whose shell has the variables of `make env`.

    Returns:
        All of it, and how each command ended.
    """
    shell = made.call("env") + '\nexec "$@"'
    program = [sys.executable, "-c", _DBT, json.dumps(commands)]
    done = subprocess.run(
        ["bash", "-ec", shell, "bash", *program], cwd=made.project, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, re.findall("^success: (.*)$", done.stdout, re.MULTILINE)


_GOOD = "True "


def test_she_builds_only_what_she_changed_and_reads_the_rest_from_published(
    empty: Checkout,
) -> None:
    # Not a copied state: dbt's manifest of its code holds the database's name.
    empty.list_stations()
    empty.land(DAY)
    empty.call("run")
    empty.call("state")
    changed = ("--select", "state:modified+", "--state", str(empty.var / "state"))
    said, ended = dbt(empty, ("ls", *changed), ("source", "freshness"))
    assert ended == [_GOOD] * 2, said
    assert "No nodes selected" in said
    assert "PASS freshness of readings.readings" in said
    empty.edit("models/marts/agg_stations_daily.sql", "with\n\nread", "with\n\n\nread")
    said, ended = dbt(empty, ("build", *changed, "--defer"))
    assert ended == [_GOOD], said
    tables = "select tablename from pg_tables where schemaname like 'dev_tester%'"
    assert empty.query(tables) == [("agg_stations_daily",)]
    log = (empty.project / "logs/dbt.log").read_text()
    assert '"published"."fct_readings"' in log


def test_she_builds_and_tests_the_real_project_in_schemas_of_her_own(flights: Checkout) -> None:
    flights.land_flights(DAY)
    flights.call("ingest")
    said, (parsed, empty, built, *of_target_prod) = dbt(
        flights, ("--warn-error", "parse", "--no-partial-parse"), ("build", "--empty"), ("build",),
        *((command, "--target", "prod") for command in ("build", "run", "seed", "test")),
    )  # fmt: skip
    assert (parsed, empty, built) == (_GOOD, _GOOD, _GOOD), said
    assert "unit tests" in said
    assert said.count("ERROR=0") == 2
    schemas = "select distinct schemaname from pg_tables where tablename = 'fct_flights'"
    assert flights.query(schemas) == [("dev_tester_candidate",)]
    # Target prod is for runs of the ledger, and this is none.
    assert len(of_target_prod) == 4
    assert all(ended.startswith("False") for ended in of_target_prod), of_target_prod
    assert said.count("this is no run") >= 4


def test_the_documentation_is_one_page_that_needs_no_network(published: Checkout) -> None:
    said = published.call("docs")
    page = published.var / "docs/index.html"
    assert f"open {page}" in said.replace("\n", " ")
    text = page.read_text()
    assert '<script src="http' not in text
    for word in ("agg_stations_daily", "climate@example.com", "As it is published",
                 "rows up to 20", "Readers see publication 2 of"):  # fmt: skip
        assert word in text, word
