"""Where Airflow keeps its things, and the environment that all its processes share.

Reads and writes `var/airflow` (secrets in files with mode 0600). Killed: what is missing is made
at the next start.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path
from urllib.parse import quote

from orchestration.daemons.place import Place, write_secret
from orchestration.settings import PROJECT, Settings, environment_with
from orchestration.warehouse_server import embedded

USER = "admin"
DATABASE = "airflow"
# Tasks run in processes that live as long as the scheduler.
_SLOTS = 4


class Home(Place):
    """The folder `var/airflow`."""

    @property
    def passwords(self) -> Path:
        return self.folder / "passwords.json"

    @property
    def password(self) -> str:
        return str(json.loads(self.passwords.read_text())[USER])


def of(settings: Settings) -> Home:
    """Airflow's home in this checkout, with passwords made where they are missing."""
    home = Home(settings.var / "airflow")
    home.logs.mkdir(parents=True, exist_ok=True)
    if not home.passwords.exists():
        write_secret(home.passwords, json.dumps({USER: secrets.token_urlsafe(12)}))
    return home


def environment(settings: Settings, home: Home) -> dict[str, str]:
    """The process environment of every Airflow program: this one's, and Airflow's settings."""
    named = {
        f"AIRFLOW__{section.upper()}__{key.upper()}": str(value)
        for section, options in _options(settings, home).items()
        for key, value in options.items()
    }
    return environment_with(
        named
        | {
            "AIRFLOW_HOME": str(home.folder),
            "DO_NOT_TRACK": "1",
            "SCARF_ANALYTICS": "false",
            "PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'orchestration' / 'dags' / 'config'}",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
            "RUNNER": "airflow",
        }
        | _telemetry(settings)
    )


def _options(settings: Settings, home: Home) -> dict[str, dict[str, object]]:
    """What differs from Airflow's defaults, by section of its configuration."""
    port = embedded.locate(settings).port
    metadata = (
        f"postgresql+psycopg://{DATABASE}@{embedded.HOST}:{port}/{DATABASE}"
        f"?passfile={quote(str(home.passfile), safe='')}"
    )
    return {
        "core": {
            "dags_folder": PROJECT / "orchestration" / "dags",
            "load_examples": False,
            "executor": "CeleryExecutor" if settings.celery_broker_url else "LocalExecutor",
            "parallelism": _SLOTS,
            "auth_manager": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager"
            ".SimpleAuthManager",
            "simple_auth_manager_users": f"{USER}:admin",
            "simple_auth_manager_passwords_file": home.passwords,
            "execution_api_server_url": f"{home.address}/execution/",
            "fernet_key": home.secret("fernet-key"),
            "dags_are_paused_at_creation": True,
            "min_serialized_dag_update_interval": 5,
            "lazy_load_plugins": True,
        },
        "database": {
            "sql_alchemy_conn": metadata,
            "sql_alchemy_conn_async": metadata,
            "check_migrations": False,
        },
        "api": {
            "host": embedded.HOST,
            "port": home.port,
            "base_url": home.address,
            "workers": 1,
            "secret_key": home.secret("session-key"),
            "expose_config": False,
        },
        "api_auth": {"jwt_secret": home.secret("jwt-secret")},
        "scheduler": {
            "scheduler_idle_sleep_time": 0.5,
            "parsing_cleanup_interval": 60,
            "enable_health_check": False,
            # How long a task whose process was killed counts as running.
            "task_instance_heartbeat_timeout": 30,
            "task_instance_heartbeat_timeout_detection_interval": 5,
        },
        "dag_processor": {
            "min_file_process_interval": 30,
            "refresh_interval": 60,
            "parsing_processes": 1,
        },
        "celery": {
            "broker_url": settings.celery_broker_url or "",
            "result_backend": f"db+{metadata}",
            "worker_prefetch_multiplier": 1,
        },
        "logging": {"base_log_folder": home.logs, "logging_level": "INFO"},
        "metrics": {"otel_on": settings.otlp_endpoint is not None},
        "usage_data_collection": {"enabled": False},
        "cosmos": {
            "enable_telemetry": False,
            "enable_cache": False,
            "enable_orjson_parser": True,
            "enable_memory_optimised_imports": True,
            "enable_watcher_reliable_retry": False,
            # Else folders of the same name, as staging/flights and marts/flights, become one.
            "enable_hierarchical_naming_for_group_nodes_by_folder": True,
        },
        "openlineage": {
            "namespace": "airworthy",
            "transport": json.dumps(_lineage(settings, home)),
        },
    }


def _telemetry(settings: Settings) -> dict[str, str]:
    """OpenTelemetry's own variables, for Airflow's metrics."""
    if settings.otlp_endpoint is None:
        return {}
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": settings.otlp_endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": "airflow",
    }


def _lineage(settings: Settings, home: Home) -> dict[str, object]:
    if settings.openlineage_url:
        return {"type": "http", "url": settings.openlineage_url}
    path = home.folder / "lineage.jsonl"
    return {"type": "file", "log_file_path": str(path), "append": True}
