"""Ingest of one file of ten million rows against plain COPY, with and without validation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.__main__ import interleave, table, write
from orchestration import database
from orchestration.settings import Settings, environment_with

ROWS = 10_000_000
_HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,"
    "carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour\n"
)
_CHILD = """
import resource, sys
from dataclasses import replace
from pathlib import Path
from orchestration import database, settings
from orchestration.ingesting.ingest import ingest
given = replace(settings.load(), project=Path(sys.argv[1]))
with database.connect(given) as connection:
    (delivery,) = ingest(given, connection)
assert delivery.rows_loaded == int(sys.argv[2]), delivery
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def measure(given: Settings) -> None:
    """Write the file, then load it in turn by COPY, by ingest, and by ingest without rules."""
    with tempfile.TemporaryDirectory() as folder, database.connect(given) as connection:
        here = Path(folder)
        landing = here / "landing"
        _write_file(landing / "flights/2013/01/flights_2013-01-01.csv")
        projects = {
            name: _project(here / name, rules=name == "rules") for name in ("rules", "none")
        }
        mine = replace(given, landing_url=str(landing))
        memory: list[int] = []

        def empty() -> None:
            connection.execute("truncate ops.deliveries cascade")
            for name in ("raw.flights", "quarantine.flights", "public.flights"):
                if connection.execute("select to_regclass(%s)", [name]).fetchone() != (None,):
                    connection.execute(f"truncate {name}")
            connection.execute("checkpoint")

        def by_ingest(project: Path) -> None:
            empty()
            variables = {"VAR_DIR": str(mine.var), "LANDING_URL": mine.landing_url}
            done = subprocess.run(
                [sys.executable, "-c", _CHILD, str(project), str(ROWS)], text=True,
                env=environment_with(variables), stdout=subprocess.PIPE, check=True,
            )  # fmt: skip
            memory.append(int(done.stdout.split()[-1]))

        by_ingest(projects["rules"])
        with (
            (here / "rows.csv").open("wb") as file,
            connection.cursor().copy("copy raw.flights to stdout (format csv)") as blocks,
        ):
            file.writelines(bytes(block) for block in blocks)
        connection.execute("create table public.flights (like raw.flights including all)")

        def by_copy() -> None:
            empty()
            _copy(connection, here / "rows.csv")

        seconds = interleave(
            {
                "plain COPY": by_copy,
                "ingest": lambda: by_ingest(projects["rules"]),
                "ingest, no rule but the key": lambda: by_ingest(projects["none"]),
            },
            repetitions=3,
        )
    write(
        "large",
        "Ingest of one large file against plain COPY",
        f"{ROWS:,} rows of 19 columns in one CSV file, each ingest in a process of its own (its"
        " start counts), against COPY of the same rows, lineage columns included, from a plain"
        " file into an identical table. Largest resident memory of an ingest:"
        f" {max(memory)} MiB.\n\n" + table(seconds, "plain COPY", ROWS),
    )


def _copy(connection: database.Connection, path: Path) -> None:
    statement = "copy public.flights from stdin (format csv)"
    with (
        connection.transaction(),
        connection.cursor() as cursor,
        cursor.copy(statement) as copy,
        path.open("rb") as file,
    ):
        while block := file.read(2**20):
            copy.write(block)


def _write_file(path: Path) -> None:
    """Valid flights of one day, all with different keys, every seventh with nulls."""
    path.parent.mkdir(parents=True)
    with path.open("w", encoding="ascii") as file:
        file.write(_HEADER)
        for n in range(ROWS):
            code = n // 29_997
            carrier = chr(65 + code // 26) + chr(65 + code % 26)
            origin = ("EWR", "JFK", "LGA")[n % 3]
            delay = "NA" if n % 7 == 0 else n % 90 - 20
            file.write(
                f"2013,1,1,517,515,{delay},830,819,11,{carrier},{n // 3 % 9999 + 1},N{n % 9999:05},"
                f"{origin},IAH,227,1400,5,15,2013-01-01T10:00:00Z\n"
            )
    os.utime(path, (1e9, 1e9))


def _project(folder: Path, *, rules: bool) -> Path:
    (folder / "contracts").mkdir(parents=True)
    text = (Path(__file__).parent.parent / "contracts/flights.yml").read_text(encoding="utf-8")
    text = text.replace(".csv.gz", ".csv")
    if not rules:
        text = re.sub(r"        (required|logicalTypeOptions|enum|quality): .*\n", "", text)
        text = re.sub(r"  - property: rowDateColumns.*\n    value: .*\n", "", text)
        text = text.replace(
            "- name: time_hour\n",
            '- name: time_hour\n        logicalTypeOptions: {format: "%Y-%m-%dT%H:%M:%SZ"}\n',
        )
    (folder / "contracts/flights.yml").write_text(text, encoding="utf-8")
    return folder
