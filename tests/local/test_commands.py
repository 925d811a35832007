"""Verbs as people call them: what they say, how they end, and that no password is shown."""

from __future__ import annotations

import subprocess
import sys

from orchestration.settings import PROJECT, environment_with
from tests.support import files
from tests.support.checkout import Checkout

_FULL = """
    create function public.fail() returns trigger language plpgsql as $$ begin
        raise 'could not extend file: No space left on device' using errcode = 'disk_full';
    end $$;
    create trigger fail before insert on ops.deliveries execute function public.fail()
"""


def test_an_empty_landing_place_ends_with_2_and_says_on_stderr_what_to_do(empty: Checkout) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orchestration", "run"], cwd=PROJECT, text=True,
        env=environment_with(empty.variables), capture_output=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "is empty" in done.stderr
    assert "make land" in done.stderr
    assert "is empty" not in done.stdout


def test_a_missing_landing_place_ends_with_2(empty: Checkout) -> None:
    said = empty.call("ingest", code=2, LANDING_URL="/no/such/place")
    assert "/no/such/place does not exist" in said


def test_a_wrong_warehouse_url_is_explained_without_its_password(empty: Checkout) -> None:
    for url, code, text in (
        ("postgresql://nobody:topsecret@127.0.0.1:1/x", 1, "127.0.0.1:1 cannot be reached"),
        ("postgresql://[", 2, "WAREHOUSE_URL cannot be read"),
        ("mysql://x/y", 2, "WAREHOUSE_URL cannot be read"),
    ):
        said = empty.call("run", code=code, WAREHOUSE_URL=url)
        assert text in said
        assert "Traceback" not in said
        assert "topsecret" not in said


def test_a_blocked_gate_ends_with_3_and_a_rejected_file_with_4_after_the_publication(
    empty: Checkout,
) -> None:
    empty.land(files.DAY)
    empty.list_stations(files.LIST[:-1])
    said = empty.call("run", code=3)
    assert "relationships_fct_readings_station_id" in said
    assert "untouched" in said
    assert empty.publications == 0

    empty.list_stations()
    files.write(empty.landing / "readme.txt", ["hello"])
    said = empty.call("run", code=4)
    assert "publication 1, 3 marts at once" in said
    assert "1 landed files were rejected: readme.txt" in said
    assert "readme.txt" in (empty.var / "reports/publication-1.html").read_text()
    assert "nothing new" in empty.call("run")


def test_the_steps_one_by_one_do_what_run_does(empty: Checkout) -> None:
    empty.land(files.DAY)
    empty.list_stations()
    for step in ("ingest", "plan", "build", "gate", "publish"):
        empty.call(step)
    digests = empty.call("digest")
    for mart, (rows, digest) in empty.digests().items():
        assert f"{mart:<32} {rows:>12,}  {digest}" in digests
    assert "fct_readings" in digests
    said = empty.call("status")
    assert "publication 1" in said
    assert "published" in said


def test_a_full_disk_is_explained(empty: Checkout) -> None:
    empty.land(files.DAY)
    empty.execute(_FULL)
    said = empty.call("ingest", code=1)
    assert "The warehouse's disk is full: could not extend file: No space left" in said
    assert "runbooks/disk-full.md" in said


def test_data_of_an_external_warehouse_is_never_deleted(published: Checkout) -> None:
    assert "not ours to delete" in published.call("clean-data", code=2)
    assert published.publications == 2
