"""Load once what every step needs, in a process that copies itself for each step.

Airflow's scheduler, Celery's workers and the process behind Prefect's tasks do. Libraries only: the
project's own modules may change while such a process lives. A library that cannot be loaded here
says so where it is needed.

Reads nothing; writes a folder for temporary files and removes it. Killed: that folder stays.
"""

from __future__ import annotations

import contextlib
import importlib
import tempfile
from pathlib import Path

_OF_STEPS = (
    "dbt.adapters.postgres",
    "dbt.cli.main",
    "dbt.task.build",
    "dbt_common.clients.agate_helper",
    "fsspec.implementations.local",
    "great_expectations",
    "jinja2",
    "open_data_contract_standard.model",
    "polars",
    "psycopg",
    "psycopg.types.json",
    "rich.progress",
    "sqlglot",
)
# One of each kind of file that dbt reads; the profile leads nowhere, and nobody connects.
_PROJECT = {
    "dbt_project.yml": "{name: preloaded, version: 1.0.0, profile: preloaded, flags: {}}",
    "profiles.yml": "preloaded: {target: it, outputs: {it: {type: postgres, host: 127.0.0.1,"
    " port: 9, user: nobody, password: none, dbname: none, schema: none}}}",
    "models/it.sql": "{{ config(materialized='table') }} select * from {{ source('a', 'b') }}",
    "models/it.yml": "{version: 2, sources: [{name: a, tables: [{name: b}]}],"
    " models: [{name: it, columns: [{name: id, data_tests: [unique]}]}]}",
    "seeds/seed.csv": "id\n1\n",
    "macros/it.sql": "{% macro it() %}{% endmacro %}",
    "tests/it.sql": "select * from {{ ref('it') }}",
}


def load(*names: str) -> None:
    """Load libraries, as far as they are there."""
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def load_for_steps() -> None:
    """Load what every step needs, and let dbt work out what it else does, for seconds, in each."""
    load(*_OF_STEPS)
    with contextlib.suppress(ImportError):
        let_dbt_read_a_project()


def let_dbt_read_a_project() -> None:
    """At the first one in a process, dbt works out the shape of its own files and macros.

    Not by its static parser, which starts threads that a copy of this process would lack.
    """
    from dbt.cli.main import dbtRunner
    from dbt_common.clients.jinja import template_cache

    with tempfile.TemporaryDirectory() as folder:
        for name, text in _PROJECT.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        read = ["parse", "--quiet", "--no-static-parser", "--no-send-anonymous-usage-stats"]
        where = ["--project-dir", folder, "--profiles-dir", folder, "--log-path", folder]
        for _ in range(2):  # anew, and from what it kept
            done = dbtRunner().invoke([*read, *where])
    for macro in getattr(done.result, "macros", {}).values():
        template_cache.get_node_template(macro)
