"""Where files land, and who else is there: growing files, S3, other loaders, kills."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from orchestration import database
from orchestration.ingesting.ingest import ingest
from orchestration.ingesting.landing import File, Landing
from orchestration.ingesting.replay import withdraw
from orchestration.settings import Settings, environment_with
from tests.conftest import PROJECT
from tests.flights import HEADER, land_days, landed, relative_path, row, write

DAY = date(2013, 1, 1)


def test_a_file_that_is_still_growing_is_left_for_later(
    empty_warehouse: Settings, connection: database.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    given = replace(empty_warehouse, settle_seconds=1)
    path = Path(given.landing_url) / relative_path("flights", DAY)
    write(path, [HEADER, row()])
    stop = threading.Event()

    def grow() -> None:
        with path.open("ab") as file:
            while not stop.wait(0.05):
                file.write(b"x")
                file.flush()

    writer = threading.Thread(target=grow)
    writer.start()
    time.sleep(0.1)
    try:
        assert ingest(given, connection) == []
    finally:
        stop.set()
        writer.join()
    assert "still being written" in capsys.readouterr().out
    write(path, [HEADER, row()])
    assert [d.outcome for d in ingest(given, connection)] == ["loaded"]


def test_a_file_that_vanishes_between_listing_and_opening_is_no_error(
    empty_warehouse: Settings, connection: database.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in (1, 2, 3):
        write(landed(empty_warehouse, "flights", date(2013, 1, day)), [HEADER, row(day=day)])
    gone = landed(empty_warehouse, "flights", date(2013, 1, 2))
    listing = Landing.files

    def list_and_lose(self: Landing) -> list[File]:
        files = listing(self)
        gone.unlink()
        return files

    monkeypatch.setattr(Landing, "files", list_and_lose)
    assert [d.slice.date.day for d in ingest(empty_warehouse, connection) if d.slice] == [1, 3]


def test_a_file_that_changes_while_it_is_read_is_not_loaded_half(
    empty_warehouse: Settings, connection: database.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestration.ingesting import receive

    monkeypatch.setattr(receive, "SMALL_BYTES", 0)
    path = landed(empty_warehouse, "flights", DAY)
    write(path, [HEADER, row()])
    hashing = Landing.sha256

    def hash_and_change(self: Landing, file: File) -> str:
        digest = hashing(self, file)
        write(path, [HEADER, row(), row(flight=2)])
        return digest

    monkeypatch.setattr(Landing, "sha256", hash_and_change)
    assert ingest(empty_warehouse, connection) == []
    assert connection.execute("select count(*) from raw.flights").fetchone() == (0,)
    monkeypatch.setattr(Landing, "sha256", hashing)
    assert [d.rows_loaded for d in ingest(empty_warehouse, connection)] == [2]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3 server on loopback with an empty bucket `landing`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    variables = {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ALLOW_HTTP": "true",
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    _s3().create_bucket(Bucket="landing")
    _s3().put_bucket_versioning(Bucket="landing", VersioningConfiguration={"Status": "Enabled"})
    yield "landing"
    server.stop()


def _s3() -> boto3.client:
    return boto3.client("s3", region_name="us-east-1", endpoint_url=os.environ["AWS_ENDPOINT_URL"])


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_object_storage_is_a_landing_place_like_any_other(
    empty_warehouse: Settings, connection: database.Connection, bucket: str, tmp_path: Path
) -> None:
    local = replace(empty_warehouse, landing_url=str(tmp_path / "local"))
    land_days(local, date(2013, 3, 9))
    for path in Path(local.landing_url).rglob("*"):
        if path.is_file():
            key = f"in/{path.relative_to(local.landing_url)}"
            _s3().put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
    given = replace(empty_warehouse, landing_url=f"s3://{bucket}/in")
    deliveries = ingest(given, connection)
    assert sorted((d.source, d.outcome) for d in deliveries) == [
        ("flights", "loaded"), ("planes", "loaded"), ("weather", "loaded"),
    ]  # fmt: skip
    assert ingest(given, connection) == []
    key = relative_path("flights", date(2013, 3, 9))
    etag = _s3().head_object(Bucket=bucket, Key=f"in/{key}")["ETag"].strip('"')
    recorded = connection.execute("select file_version from ops.deliveries where uri = %s", [key])
    assert etag in str(recorded.fetchone())
    body = _s3().get_object(Bucket=bucket, Key=f"in/{key}")["Body"].read()
    _s3().put_object(Bucket=bucket, Key=f"in/copy/{key}", Body=body)
    (other,) = ingest(given, connection)
    assert "matches no contract" in str(other.reason)


def test_ids_grow_in_commit_order_with_loaders_in_parallel(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    """Whoever pins the newest visible id must never see a smaller one appear afterwards."""
    loaders, rounds = 6, 25
    done = threading.Event()
    seen: list[set[int]] = []

    def load(number: int) -> None:
        with database.connect(empty_warehouse) as mine:
            for _ in range(rounds):
                with mine.transaction():
                    row_ = mine.execute("select ops.take_delivery_ids(2)").fetchone()
                    assert row_
                    time.sleep(random.random() * 0.01)
                    for n in (0, 1):
                        mine.execute(
                            "insert into ops.deliveries (delivery_id, source, uri, file_version,"
                            " size_bytes, outcome, reason, started_at)"
                            " values (%s, 'x', %s::text, '', 0, 'rejected', 'x', now())",
                            [row_[0] + n, f"{number}/{row_[0] + n}"],
                        )
                    mine.execute("select ops.await_earlier_deliveries(%s)", [row_[0]])

    def watch() -> None:
        with database.connect(empty_warehouse) as mine:
            while not done.is_set():
                ids = mine.execute("select delivery_id from ops.deliveries").fetchall()
                seen.append({n for (n,) in ids})

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(loaders) as pool:
        list(pool.map(load, range(loaders)))
    done.set()
    watcher.join()
    final = {n for (n,) in connection.execute("select delivery_id from ops.deliveries")}
    assert len(final) == loaders * rounds * 2
    for visible in seen:
        pinned = max(visible, default=0)
        assert visible == {n for n in final if n <= pinned}, "a smaller id appeared afterwards"


def test_two_ingests_at_once_load_every_file_once(empty_warehouse: Settings) -> None:
    for day in range(1, 29):
        rows = [row(day=day, flight=n) for n in range(1, 200)]
        write(landed(empty_warehouse, "flights", date(2013, 1, day)), [HEADER, *rows])

    def take(_: int) -> int:
        with database.connect(empty_warehouse) as mine:
            return len(ingest(empty_warehouse, mine))

    with ThreadPoolExecutor(3) as pool:
        taken = list(pool.map(take, range(3)))
    assert sum(taken) == 28
    with database.connect(empty_warehouse) as connection:
        counts = connection.execute(
            "select count(*), count(distinct (_slice_date, flight)) from raw.flights"
        ).fetchone()
    assert counts == (28 * 199, 28 * 199)


@pytest.mark.parametrize("small", [True, False])
def test_a_loader_killed_at_any_moment_leaves_whole_deliveries(
    empty_warehouse: Settings, small: bool
) -> None:
    given = replace(empty_warehouse)
    count = 3 if small else 20_000
    for day in range(1, 31):
        rows = [row(day=day, flight=n % 9999 + 1, carrier=f"A{n // 9999}") for n in range(1, count)]
        path = landed(given, "flights", date(2013, 1, day))
        write(path, [HEADER, *rows])
    environment = environment_with(
        {
            "WAREHOUSE_URL": str(given.warehouse_url), "VAR_DIR": str(given.var),
            "LANDING_URL": given.landing_url,
        }
    )  # fmt: skip
    chance = random.Random(7)
    with database.connect(given) as watch:
        for _ in range(6):
            process = subprocess.Popen(
                [sys.executable, "-m", "orchestration", "ingest"], env=environment, cwd=PROJECT,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            time.sleep(0.4 + chance.random() * 0.8)
            process.kill()
            process.wait()
            time.sleep(0.2)
            _require_whole_deliveries(watch)
        ingest(given, watch)
        _require_whole_deliveries(watch)
        assert watch.execute("select count(*) from ops.deliveries").fetchone() == (30,)
        assert watch.execute("select count(*) from raw.flights").fetchone() == (30 * (count - 1),)


def _require_whole_deliveries(connection: database.Connection) -> None:
    if connection.execute("select to_regclass('raw.flights')").fetchone() == (None,):
        return
    broken = connection.execute(
        "select delivery_id, rows_loaded, found.rows from ops.deliveries full join"
        " (select _delivery_id as delivery_id, count(*) as rows from raw.flights group by 1)"
        " as found using (delivery_id) where rows_loaded is distinct from found.rows"
    ).fetchall()
    assert broken == []


def test_a_withdrawn_delivery_gives_way_to_the_one_before(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    path = landed(empty_warehouse, "flights", DAY)
    write(path, [HEADER, row()])
    ingest(empty_warehouse, connection)
    write(path, [HEADER, row(dep_delay=3)])
    (second,) = ingest(empty_warehouse, connection)
    pinned = second.delivery_id
    active = "select delivery_id from ops.active_deliveries"
    assert connection.execute(active).fetchall() == [(pinned,)]
    assert second.delivery_id
    withdraw(empty_warehouse, connection, second.delivery_id, "a wrong correction")
    assert connection.execute(active).fetchall() == [(1,)]
    before = "select delivery_id from ops.active_deliveries_as_of(%s)"
    assert connection.execute(before, [pinned]).fetchall() == [(pinned,)], "a pinned run goes on"
    write(path, [HEADER, row(dep_delay=3)])
    assert [d.outcome for d in ingest(empty_warehouse, connection)] == ["duplicate"]
    assert connection.execute(active).fetchall() == [(1,)], "the same bytes do not bring it back"


def test_a_key_that_repeats_far_apart_in_a_large_file_is_found_without_doubt(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    count = 60_000
    rows = [row(flight=n % 9999 + 1, carrier=f"{n // 9999:02}") for n in range(count)]
    rows[-1] = rows[5]
    write(landed(empty_warehouse, "flights", DAY), [HEADER, *rows])
    (delivery,) = ingest(empty_warehouse, connection)
    assert (delivery.outcome, delivery.rows_loaded) == ("loaded", count - 1)
    held = connection.execute("select line, reasons from quarantine.flights").fetchall()
    assert held == [
        (count + 1, ["carrier, flight, origin, sched_dep_time: the same key as an earlier row"])
    ]
