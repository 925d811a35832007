"""Ingest of the year's 730 files against plain COPY of the same rows into identical tables."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.__main__ import interleave, table, write
from orchestration import database
from orchestration.ingesting import sample
from orchestration.ingesting.ingest import ingest
from orchestration.settings import Settings


def measure(given: Settings) -> None:
    """Land the year, ingest it once for the rows, then ingest and COPY in turn."""
    sample.land(given)
    with tempfile.TemporaryDirectory() as folder, database.connect(given) as connection:
        ingest(given, connection)
        sources = [
            source for (source,) in connection.execute("select distinct source from ops.deliveries")
        ]
        rows = 0
        for source in sources:
            with (Path(folder) / source).open("wb") as file:
                copy = f"copy raw.{source} to stdout (format csv)"
                with connection.cursor().copy(copy) as blocks:
                    file.writelines(bytes(block) for block in blocks)
            connection.execute(f"create table public.{source} (like raw.{source} including all)")
            rows += (connection.execute(f"select count(*) from raw.{source}").fetchone() or [0])[0]

        def empty() -> None:
            for source in sources:
                connection.execute(
                    f"truncate raw.{source}, quarantine.{source}, public.{source}, ops.deliveries"
                    " cascade"
                )

        def by_ingest() -> None:
            empty()
            ingest(given, connection)

        def by_copy() -> None:
            empty()
            for source in sources:
                statement = f"copy public.{source} from stdin (format csv)"
                with (
                    connection.transaction(),
                    connection.cursor() as cursor,
                    cursor.copy(statement) as copy,
                    (Path(folder) / source).open("rb") as file,
                ):
                    while block := file.read(2**20):
                        copy.write(block)

        seconds = interleave({"plain COPY, one per table": by_copy, "ingest": by_ingest})
    write(
        "ingest",
        "Ingest of a year against plain COPY",
        f"{rows:,} rows of 2013 in 730 gzipped files, a ledger row each, against"
        f" COPY of the same rows, lineage columns included, from {len(sources)} plain files into"
        " identical tables.\n\n" + table(seconds, "plain COPY, one per table", rows),
    )
