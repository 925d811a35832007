"""The same year of flights, loaded by what people would pick instead."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi
import dlt
import duckdb
import pandas as pd
import polars as pl
import sqlalchemy
from dlt.sources.filesystem import filesystem, read_csv

from benchmarks.__main__ import interleave, table, write
from orchestration import database
from orchestration.ingesting import sample
from orchestration.ingesting.ingest import ingest
from orchestration.settings import Settings, exported
from tests.support.files import lines_of


def measure(given: Settings) -> None:
    """Land the year; load its flights by each tool in turn, into tables they make themselves."""
    sample.land(given)
    with tempfile.TemporaryDirectory() as folder, database.connect(given) as connection:
        file = Path(folder) / "flights.csv"
        rows = _one_file(Path(given.landing_url), file)
        uri = _uri(given)
        engine = sqlalchemy.create_engine(uri.replace("postgresql:", "postgresql+psycopg:"))

        def by_ingest() -> None:
            connection.execute("truncate ops.deliveries cascade; truncate raw.flights")
            for path in (Path(given.landing_url) / "weather", Path(given.landing_url) / "planes"):
                if path.exists():
                    path.rename(Path(folder) / path.name)
            ingest(given, connection)

        def by_pandas() -> None:
            frame = pd.read_csv(file)
            frame.to_sql("by_pandas", engine, schema="public", if_exists="replace", index=False)

        ingest(given, connection)
        alternatives: dict[str, Callable[[], object]] = {
            "ingest: 365 files, contract, quarantine, ledger": by_ingest,
            "dlt, filesystem to postgres, default": lambda: _by_dlt(file, uri, folder, None),
            "dlt, filesystem to postgres, csv": lambda: _by_dlt(file, uri, folder, "csv"),
            "pandas.to_sql": by_pandas,
            "polars, ADBC": lambda: _by_adbc(uri, "by_polars", _polars(file)),
            "DuckDB, ADBC": lambda: _by_adbc(uri, "by_duckdb", _duckdb(file)),
        }
        with exported({"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}):
            seconds = interleave(alternatives, repetitions=3)
    write(
        "peers",
        "A year of flights, loaded by other tools",
        f"{rows:,} flights. ingest reads them as 365 gzipped files and checks every row; the others"
        " read one plain CSV file and check nothing. Versions: "
        f"dlt {dlt.__version__}, pandas {pd.__version__}, polars {pl.__version__},"
        f" DuckDB {duckdb.__version__}.\n\n"
        + table(seconds, "ingest: 365 files, contract, quarantine, ledger", rows),
    )


def _one_file(landing: Path, file: Path) -> int:
    days = [lines_of(path) for path in sorted((landing / "flights").rglob("*.gz"))]
    body = [line for lines in days for line in lines[1:]]
    file.write_text("\n".join([days[0][0], *body]) + "\n", encoding="utf-8")
    return len(body)


def _uri(given: Settings) -> str:
    where = database.address(given)
    password = Path(where["PGPASSFILE"]).read_text().strip().rsplit(":", 1)[1]
    return (
        f"postgresql://{where['PGUSER']}:{password}@{where['PGHOST']}:{where['PGPORT']}"
        f"/{where['PGDATABASE']}"
    )


def _by_dlt(file: Path, uri: str, folder: str, loader_format: str | None) -> None:
    pipeline = dlt.pipeline(
        pipeline_name=f"flights_{loader_format}", pipelines_dir=f"{folder}/dlt",
        destination=dlt.destinations.postgres(uri), dataset_name=f"by_dlt_{loader_format}",
    )  # fmt: skip
    source: Any = filesystem(bucket_url=file.parent.as_uri(), file_glob=file.name) | read_csv()
    pipeline.run(
        source.with_name("flights"), write_disposition="replace",
        loader_file_format=loader_format,
    )  # fmt: skip


def _polars(file: Path) -> Any:
    return pl.read_csv(file, null_values="NA", infer_schema_length=None).to_arrow()


def _duckdb(file: Path) -> Any:
    return duckdb.read_csv(str(file), na_values="NA").to_arrow_table()


def _by_adbc(uri: str, name: str, rows: Any) -> None:
    with adbc_driver_postgresql.dbapi.connect(uri) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(name, rows, mode="replace", db_schema_name="public")
        connection.commit()
