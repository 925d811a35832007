"""The only reader of the environment. Everything else is handed a `Settings`.

Reads the process environment over the file `.env` in the project's folder; writes nothing.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from orchestration.errors import UsageError

PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Settings:
    """All that can be set from outside; `.env.example` describes each.

    Attributes:
        project: folder with `dbt_project.yml`.
        var: folder for everything that the project writes besides `landing/`.
        landing_url: where files land, as fsspec understands it (a path or a URL).
        warehouse_url: libpq URL or DSN of the warehouse; None means the embedded one.
        warehouse_variables: libpq's own variables (PGHOST ...), for what the URL leaves out.
        warehouse_port: fixed port of the embedded warehouse; None means a free one.
        requested_by: who asked, for the ledger.
        runner: what runs the steps: shell, airflow or prefect.
        threads: how many models dbt builds at once.
        cosmos_mode: how Airflow builds: watcher (one dbt for all models) or local (one for each).
        openlineage_url: who collects lineage; None means a file.
        otlp_endpoint: where Airflow sends its metrics (OpenTelemetry); None means nowhere.
        openlineage_is_off: tell nobody, not even a file.
        metrics_port: where `make metrics` answers on this machine.
        log_format: what steps say, as text or as a JSON object per line.
        celery_broker_url: Redis for Airflow's CeleryExecutor; None means LocalExecutor.
        celery_workers: how many of its workers `make airflow` starts here.
        settle_seconds: how long a local file must lie unchanged before it is read.
        readers_wait_seconds: how long readers of a mart may wait while it gets another shape.
        gate_timeout_seconds: how long the expectations may take before the gate blocks.
        step_timeout_seconds: how long Prefect lets a step's process run before it ends it.
        environment: which environment's Prefect deployments and work pool these are.
        reports_url: where people find what lies in `var/reports`; None means by its file's path.
        retain_publications, retain_days: how many publications, and how old ones, one can go back
            to; the rule that keeps more wins.
        alert_routes: file that says who hears of what.
        token_key, token_key_file: the key that restricted columns are tokenised with.
    """

    project: Path
    var: Path
    landing_url: str
    warehouse_url: str | None = field(repr=False)
    warehouse_variables: Mapping[str, str] = field(repr=False)
    warehouse_port: int | None
    requested_by: str
    runner: str
    threads: int
    cosmos_mode: str
    openlineage_url: str | None
    openlineage_is_off: bool
    otlp_endpoint: str | None = field(repr=False)
    metrics_port: int
    log_format: str
    celery_broker_url: str | None = field(repr=False)
    celery_workers: int
    settle_seconds: int
    readers_wait_seconds: int
    gate_timeout_seconds: int
    step_timeout_seconds: int
    environment: str
    reports_url: str | None
    retain_publications: int
    retain_days: int
    alert_routes: Path
    token_key: str | None = field(repr=False)
    token_key_file: Path | None


def load(environment: Mapping[str, str] | None = None, project: Path | None = None) -> Settings:
    """Settings from `environment` (default: the process's) over `.env`.

    Args:
        project: folder with `dbt_project.yml`; by default DBT_PROJECT_DIR, or where this code lies.

    Raises:
        UsageError: a value cannot be read; the message names the variable.
    """
    given = dict(os.environ if environment is None else environment)
    project = project or _project(given)
    from_file = {k: v for k, v in dotenv_values(project / ".env").items() if v is not None}
    env = {k: v for k, v in {**from_file, **given}.items() if v != ""}
    return Settings(
        project=project,
        var=Path(env.get("VAR_DIR", project / "var")).absolute(),
        landing_url=env.get("LANDING_URL", str(project / "landing")),
        warehouse_url=_warehouse_url(env),
        warehouse_variables={name: env[name] for name in env if name.startswith("PG")},
        warehouse_port=_whole_number(env, "WAREHOUSE_PORT", low=1024, high=65535, otherwise=0)
        or None,
        requested_by=env.get("REQUESTED_BY") or user(),
        runner=env.get("RUNNER", "shell"),
        threads=_whole_number(env, "DBT_THREADS", low=1, high=64, otherwise=4),
        cosmos_mode=_one_of(env, "COSMOS_MODE", "watcher", "local"),
        openlineage_url=env.get("OPENLINEAGE_URL"),
        otlp_endpoint=env.get("OTEL_EXPORTER_OTLP_ENDPOINT"),
        openlineage_is_off=_one_of(env, "OPENLINEAGE_DISABLED", "false", "true") == "true",
        metrics_port=_whole_number(env, "METRICS_PORT", low=1024, high=65535, otherwise=9105),
        log_format=_one_of(env, "LOG_FORMAT", "text", "json"),
        celery_broker_url=env.get("CELERY_BROKER_URL"),
        celery_workers=_whole_number(env, "CELERY_WORKERS", low=0, high=64, otherwise=1),
        settle_seconds=_whole_number(env, "SETTLE_SECONDS", low=0, high=3600, otherwise=3),
        readers_wait_seconds=_whole_number(
            env, "READERS_WAIT_SECONDS", low=1, high=86_400, otherwise=60
        ),
        gate_timeout_seconds=_whole_number(
            env, "GATE_TIMEOUT_SECONDS", low=1, high=86_400, otherwise=1800
        ),
        step_timeout_seconds=_whole_number(
            env, "STEP_TIMEOUT_SECONDS", low=1, high=86_400, otherwise=7200
        ),
        environment=env.get("ENVIRONMENT", "local"),
        reports_url=env.get("REPORTS_URL"),
        retain_publications=_whole_number(
            env, "RETAIN_PUBLICATIONS", low=1, high=100_000, otherwise=50
        ),
        retain_days=_whole_number(env, "RETAIN_DAYS", low=0, high=36_500, otherwise=30),
        alert_routes=project / env.get("ALERT_ROUTES", "observability/routes.yml"),
        token_key=env.get("TOKEN_KEY"),
        token_key_file=Path(env["TOKEN_KEY_FILE"]) if "TOKEN_KEY_FILE" in env else None,
    )


def variable(name: str, project: Path) -> str | None:
    """What the environment, or else `.env`, says under a name that another file chose."""
    return os.environ.get(name) or dotenv_values(project / ".env").get(name) or None


def environment_with(variables: Mapping[str, str]) -> dict[str, str]:
    """This process's environment for programs started from here, with `variables` instead of
    whatever it says about PostgreSQL: a stray PGPASSWORD must not win over ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | dict(variables)


def inherited() -> dict[str, str]:
    """This process's environment, for a process that shall see the same settings."""
    return dict(os.environ)


def shows_steps() -> bool:
    """Whether flows print what their steps say, as `make prefect-run` wants it."""
    return "AIRWORTHY_ECHO" in os.environ


def adopt(variables: Mapping[str, str]) -> None:
    """Take over another process's environment for good."""
    os.environ.clear()
    os.environ.update(variables)


@contextmanager
def exported(variables: Mapping[str, str]) -> Iterator[None]:
    """Hold the process's environment at `environment_with(variables)`, for libraries that read it
    themselves (dbt, libpq)."""
    before = dict(os.environ)
    wanted = environment_with(variables)
    try:
        os.environ.clear()
        os.environ.update(wanted)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _project(env: Mapping[str, str]) -> Path:
    return Path(env.get("DBT_PROJECT_DIR") or PROJECT).absolute()


def _warehouse_url(env: Mapping[str, str]) -> str | None:
    if "WAREHOUSE_URL" in env:
        return env["WAREHOUSE_URL"]
    # An empty DSN leaves out everything, which the other PG* variables then say.
    return "" if "PGHOST" in env or "PGSERVICE" in env else None


def _one_of(env: Mapping[str, str], name: str, *allowed: str) -> str:
    """The variable's value; the first allowed one where it is not set."""
    value = env.get(name, allowed[0]).lower()
    if value not in allowed:
        raise UsageError(
            f"{name} is {value!r}, but must be {' or '.join(allowed)}.",
            todo=f"Correct {name} in the environment or in .env (see .env.example).",
        )
    return value


def _whole_number(env: Mapping[str, str], name: str, *, low: int, high: int, otherwise: int) -> int:
    text = env.get(name)
    if text is None:
        return otherwise
    if not text.isdigit() or not low <= int(text) <= high:
        raise UsageError(
            f"{name} is {text!r}, but must be a whole number from {low} to {high}.",
            todo=f"Correct {name} in the environment or in .env (see .env.example).",
        )
    return int(text)


def user() -> str:
    """The operating system's name for whoever runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return str(os.getuid())
