from __future__ import annotations

from pathlib import Path

import pytest

from orchestration import settings
from orchestration.errors import UsageError


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LANDING_URL=/from/file\nDBT_THREADS=2\n")
    given = settings.load({"LANDING_URL": "/from/environment"}, tmp_path)
    assert (given.landing_url, given.threads) == ("/from/environment", 2)


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, None),
        ({"WAREHOUSE_URL": ""}, None),
        ({"PGHOST": "db"}, ""),
        ({"PGHOST": "db", "WAREHOUSE_URL": "postgresql://other"}, "postgresql://other"),
    ],
)
def test_what_points_at_another_warehouse(
    tmp_path: Path, variables: dict[str, str], url: str | None
) -> None:
    assert settings.load(variables, tmp_path).warehouse_url == url


@pytest.mark.parametrize("text", ["80", "x", "70000", "-1"])
def test_a_wrong_port_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="WAREHOUSE_PORT"):
        settings.load({"WAREHOUSE_PORT": text}, tmp_path)


def test_the_environment_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("PGPASSWORD", "x")
    with settings.exported({"PGHOST": "h"}):
        assert (os.environ.get("PGHOST"), os.environ.get("PGPASSWORD")) == ("h", None)
    assert (os.environ.get("PGHOST"), os.environ.get("PGPASSWORD")) == (None, "x")
