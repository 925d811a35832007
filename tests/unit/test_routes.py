"""Who hears of what, and what is wrong with a file that says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestration import settings
from orchestration.alerting import routes
from orchestration.errors import UsageError


def load(tmp_path: Path, text: str) -> routes.Routes:
    path = tmp_path / "routes.yml"
    path.write_text(text)
    return routes.load(replace(settings.load({}), alert_routes=path))


def test_the_first_route_that_fits_counts(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        "channels: {call: 'a://b', mail: 'c://d', here: stdout}\n"
        "routes:\n"
        "  - {severity: page, owner: [ada, bob], to: [call, here]}\n"
        "  - {severity: [page, ticket], to: mail}\n"
        "  - {to: here}\n",
    )

    def names(severity: str, owner: str) -> list[str]:
        return [channel.name for channel in found.of(severity, owner)]

    assert names("page", "ada") == ["call", "here"]
    assert names("page", "eve") == ["mail"]
    assert names("log", "ada") == ["here"]


def test_the_projects_own_routes_can_be_read() -> None:
    assert [c.target for c in routes.load(settings.load({})).of("page", "anybody")] == ["stdout"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is no mapping"),
        ("channels: [", "while parsing"),
        ("channels: {}\nroutes: [{to: a}]", "channels is missing or empty"),
        ("channels: {a: stdout}", "routes is missing or empty"),
        ("channels: {a: printer}\nroutes: [{to: a}]", "channel a is neither stdout nor a URL"),
        ("channels: {a: stdout}\nroutes: [{to: b}]", "route 1: there is no channel b"),
        ("channels: {a: stdout}\nroutes: [{}]", "route 1 says not where to"),
        ("channels: {a: stdout}\nroutes: [a]", "route 1 is no mapping"),
        ("channels: {a: stdout}\nroutes: [{severity: bad, to: a}]", "is none of page, ticket"),
        ("channels: {a: stdout}\nroutes: [{owners: x, to: a}]", "unknown entry: owners"),
        ("channels: {a: stdout}\nroutes: [{owner: x, to: a}]", "the last route must fit every"),
        ("channels: {a: stdout}\nroutes: [{to: a}]\nelse: 1", "unknown entry: else"),
    ],
)
def test_what_is_wrong_with_the_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as found:
        load(tmp_path, text)
    assert "routes.yml" in str(found.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    given = replace(settings.load({}), alert_routes=tmp_path / "none.yml")
    with pytest.raises(UsageError, match=r"none\.yml cannot be used: No such file"):
        routes.load(given)


def test_secrets_come_from_variables_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("from-file\n")
    monkeypatch.setenv("ROUTES_USER", "ada")
    (tmp_path / ".env").write_text("ROUTES_ROOM=lobby\n")
    text = "slack://${ROUTES_USER}:${file:token}@${ROUTES_ROOM}"
    channel = routes.Channel("team", text)
    assert channel.url(tmp_path) == (
        "slack://ada:from-file@lobby", ("ada", "from-file", "lobby")
    )  # fmt: skip


@pytest.mark.parametrize("name", ["ROUTES_NOBODY_SET", "file:nowhere", "file:empty"])
def test_a_secret_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").write_text("\n")
    channel = routes.Channel("team", f"slack://${{{name}}}")
    with pytest.raises(ValueError, match=name.removeprefix("file:")):
        channel.url(tmp_path)
