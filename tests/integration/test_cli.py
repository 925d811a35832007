from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from orchestration import settings
from orchestration.settings import Settings
from orchestration.warehouse_server import embedded, warehouse
from tests.conftest import PROJECT
from tests.flights import HEADER, land_days, landed, row, write


def call(given: Settings, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    mine = {
        "WAREHOUSE_URL": given.warehouse_url or "", "VAR_DIR": str(given.var),
        "LANDING_URL": given.landing_url, "COLUMNS": "80",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "orchestration", *arguments], cwd=PROJECT, text=True,
        env=settings.environment_with(mine | variables), capture_output=True,
    )  # fmt: skip


def test_an_empty_landing_place_ends_with_2_and_says_what_to_do(empty_warehouse: Settings) -> None:
    done = call(empty_warehouse, "run")
    assert done.returncode == 2
    assert "is empty" in done.stderr
    assert "make land" in done.stderr


def test_a_missing_landing_place_ends_with_2(empty_warehouse: Settings) -> None:
    done = call(empty_warehouse, "ingest", LANDING_URL="/no/such/place")
    assert done.returncode == 2
    assert "/no/such/place does not exist" in done.stderr


@pytest.mark.parametrize(
    ("url", "code", "text"),
    [
        ("postgresql://nobody:topsecret@127.0.0.1:1/x", 1, "127.0.0.1:1 cannot be reached"),
        ("postgresql://[", 2, "WAREHOUSE_URL cannot be read"),
        ("mysql://x/y", 2, "WAREHOUSE_URL cannot be read"),
    ],
)
def test_a_wrong_warehouse_url_is_explained_without_its_password(
    empty_warehouse: Settings, url: str, code: int, text: str
) -> None:
    done = call(empty_warehouse, "run", WAREHOUSE_URL=url)
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert "topsecret" not in done.stdout + done.stderr


def test_a_rejected_file_ends_with_4_after_all_others_were_published(
    empty_warehouse: Settings,
) -> None:
    land_days(empty_warehouse, date(2013, 3, 9))
    write(Path(empty_warehouse.landing_url) / "readme.txt", ["hello"])
    done = call(empty_warehouse, "run")
    assert done.returncode == 4, done.stderr
    assert "publication 1, 11 marts at once" in done.stdout
    assert "readme.txt" in done.stderr
    page = (empty_warehouse.var / "reports/publication-1.html").read_text()
    assert "readme.txt" in page
    again = call(empty_warehouse, "run")
    assert again.returncode == 0
    assert "nothing new" in again.stdout


def test_a_blocked_gate_ends_with_3(empty_warehouse: Settings) -> None:
    rows = [row(flight=n, carrier="ZZ") for n in range(1, 20)]
    write(landed(empty_warehouse, "flights", date(2013, 1, 1)), [HEADER, *rows])
    done = call(empty_warehouse, "run")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "relationships_fct_flights_airline_id" in done.stderr
    assert "untouched" in done.stderr


def test_the_steps_one_by_one_do_what_run_does(empty_warehouse: Settings) -> None:
    land_days(empty_warehouse, date(2013, 3, 9))
    for step in ("ingest", "plan", "build", "gate", "publish"):
        done = call(empty_warehouse, step)
        assert done.returncode == 0, (step, done.stderr)
    assert "fct_flights" in call(empty_warehouse, "digest").stdout
    status = call(empty_warehouse, "status").stdout
    assert "publication 1" in status
    assert "published" in status


def test_a_full_disk_is_explained(
    empty_warehouse: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import psycopg

    from orchestration import cli

    def full(*_: object) -> None:
        raise psycopg.errors.DiskFull("could not extend file: No space left on device")

    monkeypatch.setattr(warehouse, "up", full)
    monkeypatch.setattr(sys, "argv", ["orchestration", "up"])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    assert leaving.value.code == 1
    assert "runbooks/disk-full.md" in capsys.readouterr().err


def test_data_of_an_external_warehouse_is_never_deleted(empty_warehouse: Settings) -> None:
    done = call(empty_warehouse, "clean-data")
    assert done.returncode == 2
    assert "not ours to delete" in done.stderr


def test_without_a_ledger_status_says_what_to_do(tmp_path: Path) -> None:
    given = settings.load({"VAR_DIR": str(tmp_path)})
    done = call(given, "status")
    assert done.returncode == 1
    assert "make up" in done.stdout
    embedded.remove(embedded.locate(given))
