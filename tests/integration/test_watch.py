"""Late data, blocked gates and rejected files: people hear of them once, and when they are over."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from orchestration import database, steps
from orchestration.alerting import alerts, outbox, trouble
from orchestration.alerting.alerts import Alert
from orchestration.backfills import run as backfill_run
from orchestration.backfills.outline import Request
from orchestration.cli import cli
from orchestration.dags.parts.alerts import late
from orchestration.errors import GateBlocked, UsageError
from orchestration.ingesting.ingest import ingest
from orchestration.ingesting.landing import Landing
from orchestration.settings import Settings
from orchestration.status import status
from orchestration.verbs import open_warehouse
from orchestration.watching import watch
from orchestration.watching.lateness import Look
from tests.flights import land_days, landed, lines_of, write
from tests.steps import copy_project, go, leave_alone

FIRST, SECOND, THIRD = (date(2013, 3, day) for day in (9, 10, 11))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def since_march(empty_warehouse: Settings, tmp_path: Path) -> Settings:
    """Contracts that promise flights and weather from 9 March 2013 on, without end."""
    folder = copy_project(tmp_path / "project")
    for name in ("flights", "weather", "planes"):
        path = folder / f"contracts/{name}.yml"
        before, promised = path.read_text().split("slaProperties:\n")
        promised, custom = promised.split("customProperties:\n")
        promised = promised.split("  - property: endOfLife")[0].replace("2013-01-01", "2013-03-09")
        if name == "planes":  # it promises nothing
            custom = custom.replace("  - property: timeZone\n    value: America/New_York\n", "")
            path.write_text(f"{before}customProperties:\n{custom}")
        else:
            path.write_text(f"{before}slaProperties:\n{promised}customProperties:\n{custom}")
    return replace(empty_warehouse, project=folder)


@pytest.fixture
def inside(empty_warehouse: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The environment of a step in the empty warehouse."""
    given = empty_warehouse
    monkeypatch.setenv("WAREHOUSE_URL", str(given.warehouse_url))
    monkeypatch.setenv("VAR_DIR", str(given.var))
    monkeypatch.setenv("LANDING_URL", given.landing_url)
    monkeypatch.setenv("SETTLE_SECONDS", "0")
    return given


@dataclass
class Channel:
    """What an HTTP server on this machine was told, while it was up."""

    port: int
    heard: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def up(self, answer: int = 200) -> Iterator[None]:
        heard = self.heard

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                heard.append(json.loads(body))
                self.send_response(answer)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", self.port), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@pytest.fixture
def channel() -> Channel:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Channel(probe.getsockname()[1])


def routed(given: Settings, text: str) -> Settings:
    path = given.var / "routes.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return replace(given, alert_routes=path)


def make_due(connection: database.Connection) -> None:
    connection.execute("update ops.alert_messages set next_try_at = now() - interval '1 second'")


def keys(connection: database.Connection) -> list[str]:
    return [alert.key for alert in alerts.open_alerts(connection)]


def messages(connection: database.Connection) -> list[tuple[str, str, str]]:
    return connection.execute(
        "select key, news, state from ops.alert_messages inner join ops.alerts using (alert_id)"
        " order by message_id"
    ).fetchall()


def alert(key: str = "late:tests", severity: str = "ticket") -> Alert:
    return Alert(
        key, severity, "testers", "tests of 1 March have not arrived", at("2013-03-02 11:00"),
        "none", "runbooks/source-late.md", "make watch",
    )  # fmt: skip


def test_late_data_pages_for_the_marts_that_miss_their_due_time_and_heals(
    since_march: Settings, empty_warehouse: Settings, connection: database.Connection
) -> None:
    land_days(empty_warehouse, FIRST, 2)
    go(empty_warehouse)

    def found(instant: str) -> Look:
        return watch.look(since_march, connection, at(instant))

    # A slice is due at 6:00 in New York: 10:00 UTC, the clocks have gone forward. Its marts are
    # due two hours later.
    assert watch.alerts_of(found("2013-03-12 09:59")) == []
    (flights, weather) = watch.alerts_of(found("2013-03-12 10:00"))
    assert (flights.key, flights.severity, flights.owner) == ("late:flights", "log", "flight-data")
    assert flights.what == "flights of 2013-03-11 has not arrived; due 2013-03-12 10:00 UTC"
    assert weather.since == at("2013-03-12 10:00")

    soon = watch.alerts_of(found("2013-03-12 11:59:59"))
    (page, _) = (one for one in soon if one.severity == "page")
    assert page.key == "mart-due:flight-analytics:flights"
    assert "will miss their due time (2013-03-12 12:00 UTC): flights of 2013-03-11" in page.what
    over = found("2013-03-12 12:00")
    (page, _) = (one for one in watch.alerts_of(over) if one.severity == "page")
    assert "have missed" not in page.what
    assert "missed their due time" in page.what
    assert page.impact == "Readers see data up to 2013-03-10."
    states = {mart.mart: mart.state for mart in over.marts}
    assert states["fct_flights"] == "missed"
    assert states["dim_aircraft"] == "in time", "it is made of planes, which promise nothing"

    later = {one.key: one for one in watch.alerts_of(found("2013-03-13 10:00"))}
    assert later["missing:flights"].what.startswith("flights of 2013-03-11 is missing")
    assert later["late:flights"].what.startswith("flights of 2013-03-12 has not arrived")

    watch.settle(connection, over)
    pages = [key for key in keys(connection) if key.startswith("mart-due")]
    assert pages == ["mart-due:flight-analytics:flights", "mart-due:flight-analytics:weather"]
    watch.settle(connection, over)
    assert len(messages(connection)) == 4, "nobody hears of the same twice"

    # It arrived, and nobody publishes it.
    land_days(empty_warehouse, THIRD, 2)
    ingest(empty_warehouse, connection)
    waiting = found("2013-03-12 12:00")
    assert [one.key for one in watch.alerts_of(waiting)] == [
        "mart-due:flight-analytics:publication"
    ]
    assert {w.is_there for mart in waiting.marts for w in mart.wanted} == {True}
    watch.settle(connection, waiting)
    assert keys(connection) == ["mart-due:flight-analytics:publication"]
    # A backfill brings the one day, over a base that does not know it.
    backfill_run.start(empty_warehouse, connection, Request(THIRD, THIRD, "1d"))
    healed = found("2013-03-12 12:00")
    watch.settle(connection, healed)
    assert keys(connection) == []
    assert [news for _, news, _ in messages(connection)].count("resolved") == 5
    (flights_now,) = (s for s in healed.sources if s.source == "flights")
    assert timedelta(0) < (flights_now.usual_wait or timedelta(0)) < timedelta(minutes=5)
    mart = next(m for m in healed.marts if m.mart == "fct_flights")
    assert mart.newest == THIRD


def test_what_is_promised_no_more_is_not_late(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    land_days(empty_warehouse, FIRST)
    ingest(empty_warehouse, connection)
    found = watch.look(empty_warehouse, connection)
    flights, planes, weather = found.sources
    assert len(flights.slots) == 365
    assert len(weather.having("missing")) == 362
    assert weather.having("due") == ()
    assert planes.having("late", "missing") == ()
    assert watch.alerts_of(found)[0].what.startswith("flights of 2013-12-31 has not arrived")
    assert found.marts == [], "nothing is published"


def test_a_contract_without_promises_is_named_and_the_rest_goes_on(
    since_march: Settings,
    inside: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("orchestration.settings.load", lambda: since_march)
    steps.watch()
    said = capsys.readouterr().out
    assert "planes: its contract promises nothing (slaProperties)" in said
    assert "no mart is published yet" in said
    assert "late:planes" not in said
    assert "[log] flights of" in said
    assert "runbook: runbooks/source-late.md" in said


def test_a_blocked_gate_is_a_ticket_at_once_and_heals_with_the_next_run(
    inside: Settings, connection: database.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    land_days(inside, FIRST)
    path = landed(inside, "flights", FIRST)
    whole = lines_of(path)
    write(path, [line.replace(",UA,", ",ZZ,") for line in whole])
    with pytest.raises(GateBlocked), open_warehouse(tells=True) as (given, _):
        go(given)
    said = capsys.readouterr().out
    assert "[ticket] The gate blocks run 1: " in said
    assert "owner: flight-analytics" in said
    assert "Nothing is published." in said
    assert keys(connection) == ["blocked:run"]
    write(path, whole)
    with open_warehouse(tells=True) as (given, _):
        go(given)
    assert "[resolved] The gate blocks run 1" in capsys.readouterr().out
    assert keys(connection) == []
    # A check that only warns is met by all of this data.
    connection.execute(
        "update ops.gate_results set passed = false where check_id = (select min(check_id)"
        " from ops.gate_results where run_id = 2 and severity = 'warning')"
    )
    with open_warehouse(tells=True):
        pass
    assert "[log] Run 2 is published with a warning, first " in capsys.readouterr().out
    assert keys(connection) == ["warned:flight-analytics"]


def test_rejected_deliveries_are_one_ticket_that_heals_with_a_corrected_file(
    inside: Settings, connection: database.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    land_days(inside, FIRST, 2)
    paths = [landed(inside, "flights", day) for day in (FIRST, SECOND)]
    whole = [lines_of(path) for path in paths]
    for path, lines in zip(paths, whole, strict=True):
        write(path, [lines[0].replace("tailnum", "tail"), *lines[1:]])
    assert len(steps.take_in(["flights"])["rejected"]) == 2
    said = capsys.readouterr().out
    assert said.count("[ticket] 2 deliveries of flights rejected, the newest flights/2013/03/") == 1
    assert "look closer: make quarantine SOURCE=flights" in said
    assert "owner: flight-data" in said
    assert status(inside)
    assert "alert  1, ticket: 2 deliveries of flights rejected" in capsys.readouterr().out
    write(paths[0], whole[0])
    steps.take_in(["flights"])
    assert keys(connection) == ["rejected:flights"], "the other one still is"
    write(paths[1], whole[1])
    steps.take_in(["flights"])
    assert keys(connection) == []
    assert [news for _, news, _ in messages(connection)] == ["opened", "resolved"]


def test_a_file_that_fits_no_contract_is_forgotten_when_it_is_taken_away(
    inside: Settings, connection: database.Connection
) -> None:
    stray = Path(inside.landing_url) / "readme.txt"
    write(stray, [""])
    steps.take_in(["unmatched"])
    assert keys(connection) == ["rejected:unmatched"]
    stray.unlink()
    trouble.settle(inside, connection)
    assert keys(connection) == []
    assert Landing.at(inside.landing_url).files() == []


def test_a_channel_that_is_down_loses_nothing_and_holds_up_nobody(
    empty_warehouse: Settings,
    connection: database.Connection,
    channel: Channel,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEAM_HOST", "127.0.0.1")
    given = routed(
        empty_warehouse,
        f"channels: {{team: 'json://${{TEAM_HOST}}:{channel.port}', here: stdout}}\n"
        "routes: [{severity: page, to: here}, {to: [team, here]}]",
    )
    alerts.settle(connection, "tests", [alert()])
    told = outbox.send(given, connection)
    assert set(told.down) == {"team"}
    assert capsys.readouterr().out.count("[ticket]") == 1
    ((attempts, error, told_by),) = connection.execute(
        "select attempts, error, told from ops.alert_messages"
    ).fetchall()
    assert (attempts, told_by) == (1, ["here"])
    assert error.startswith("team: ")
    assert "***" in error, "apprise named the host, which is a secret here"
    assert "127.0.0.1" not in error
    assert outbox.send(given, connection).down == {}, "not before its time"
    # It heals while the channel is down: both are told, in this order.
    alerts.settle(connection, "tests", [])
    make_due(connection)
    with channel.up(answer=503):
        assert "503" in outbox.send(given, connection).down["team"]
    channel.heard.clear()
    ((wait,),) = connection.execute(
        "select extract(epoch from next_try_at - now()) from ops.alert_messages where attempts = 2"
    ).fetchall()
    assert 60 < wait <= 120, "longer from try to try"
    make_due(connection)
    with channel.up():
        assert outbox.send(given, connection).sent == 2
    opened, resolved = channel.heard
    assert opened["title"] == "[ticket] tests of 1 March have not arrived"
    for line in (
        "since: 2013-03-02 11:00 UTC", "impact: none", "owner: testers",
        "runbook: runbooks/source-late.md", "look closer: make watch",
    ):  # fmt: skip
        assert line in opened["message"].splitlines()
    assert opened["type"] == "warning"
    assert resolved["title"].startswith("[resolved]")
    assert [state for _, _, state in messages(connection)] == ["sent", "sent"]
    assert capsys.readouterr().out.count("alert") >= 1


def test_a_worse_alert_is_told_again_and_by_its_severitys_route(
    empty_warehouse: Settings, connection: database.Connection, channel: Channel
) -> None:
    given = routed(
        empty_warehouse,
        f"channels: {{page: 'json://127.0.0.1:{channel.port}', here: stdout}}\n"
        "routes: [{severity: [page], owner: testers, to: page}, {to: here}]",
    )
    alerts.settle(connection, "tests", [alert(severity="log")])
    alerts.settle(connection, "tests", [alert(severity="page")])
    alerts.settle(connection, "tests", [alert(severity="ticket")])
    with channel.up():
        assert outbox.send(given, connection).sent == 2
    assert [heard["type"] for heard in channel.heard] == ["failure"]
    assert [news for _, news, _ in messages(connection)] == ["opened", "worse"]


def test_a_silence_keeps_quiet_until_its_end_and_not_longer(
    empty_warehouse: Settings, connection: database.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    given = empty_warehouse
    key, until = alerts.silence(given, connection, "late:tests", "2h", "they know")
    assert key == "late:tests"
    assert timedelta(hours=1, minutes=59) < until - datetime.now(UTC) <= timedelta(hours=2)
    alerts.settle(connection, "tests", [alert(), alert("late:others")])
    assert outbox.send(given, connection).sent == 1
    assert [bool(one.silenced_until) for one in alerts.open_alerts(connection)] == [True, False]
    # It healed while nobody wanted to hear of it.
    alerts.settle(connection, "tests", [alert("late:others")])
    assert outbox.send(given, connection).sent == 0
    # It comes again and outlasts the silence.
    alerts.settle(connection, "tests", [alert(), alert("late:others")])
    assert outbox.send(given, connection).sent == 0
    (number,) = (a.alert_id for a in alerts.open_alerts(connection) if a.key == "late:tests")
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    alerts.silence(given, connection, str(number), now, "back from holidays")
    capsys.readouterr()
    assert outbox.send(given, connection).sent == 1
    assert "[ticket] tests of 1 March" in capsys.readouterr().out
    ((who, why),) = connection.execute(
        "select who, reason from ops.audit_log where action = 'silence' order by 1 limit 1"
    ).fetchall()
    assert (who, why.endswith("they know")) == ("tester", True)


@pytest.mark.parametrize(
    ("name", "until", "reason", "message"),
    [
        ("99", "2h", "so", "no alert '99'"),
        ("late:x", "soon", "so", "UNTIL is 'soon'"),
        ("late:x", "9999d", "so", "at most 90 days"),
        ("late:x", "2h", " ", "needs a reason"),
    ],
)
def test_a_silence_that_makes_no_sense_is_refused(
    empty_warehouse: Settings, connection: database.Connection, name: str, until: str,
    reason: str, message: str,
) -> None:  # fmt: skip
    with pytest.raises(UsageError, match=message):
        alerts.silence(empty_warehouse, connection, name, until, reason)
    assert connection.execute("select from ops.silences").rowcount == 0


def test_with_wrong_routes_a_run_goes_on_and_the_alert_waits(
    inside: Settings, connection: database.Connection, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    routes = routed(inside, "channels: {here: stdout}\nroutes: [{to: there}]").alert_routes
    monkeypatch.setenv("ALERT_ROUTES", str(routes))
    write(Path(inside.landing_url) / "readme.txt", [""])
    assert steps.take_in(["unmatched"])["rejected"] == ["readme.txt"]
    said = capsys.readouterr().out
    assert "nobody was told now: The alert routes" in said
    assert "there is no channel there" in said
    assert messages(connection) == [("rejected:unmatched", "opened", "waiting")]
    with pytest.raises(UsageError, match="there is no channel there"):
        steps.watch()
    monkeypatch.delenv("ALERT_ROUTES")
    steps.watch()
    assert messages(connection)[0] == ("rejected:unmatched", "opened", "sent")
    monkeypatch.setenv("ALERT_ROUTES", str(routes))
    assert connection.execute("select from ops.due_messages").rowcount == 0
    with pytest.raises(UsageError, match="there is no channel there"):
        steps.watch()


def test_whatever_breaks_while_telling_the_steps_own_outcome_stands(
    inside: Settings, connection: database.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    connection.execute("drop view ops.due_messages")
    write(Path(inside.landing_url) / "readme.txt", [""])
    assert steps.take_in(["unmatched"])["rejected"] == ["readme.txt"]
    assert 'nobody was told now: relation "ops.due_messages" does not exist' in (
        capsys.readouterr().out
    )
    assert messages(connection) == [("rejected:unmatched", "opened", "waiting")]


def test_a_deadline_that_an_orchestrator_missed_is_an_alert_until_something_is_published(
    inside: Settings, connection: database.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(late(context={"dag_run": {"dag_id": "warehouse"}}))
    assert "[log] The run of warehouse has not ended in time" in capsys.readouterr().out
    trouble.settle(inside, connection)
    assert keys(connection) == ["deadline:warehouse"]
    connection.execute("update ops.alerts set since = now() - interval '25 hours'")
    trouble.settle(inside, connection)
    assert keys(connection) == []


def test_no_role_writes_alerts_but_by_the_function(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    for role in ("loader", "transformer", "auditor", "publisher"):
        connection.execute(f"set role airworthy_{role}")
        alerts.settle(connection, "tests", [alert()])
        outbox.send(empty_warehouse, connection)
        for statement in (
            "insert into ops.alerts default values", "update ops.alerts set severity = 'log'",
            "delete from ops.alert_messages", "update ops.alert_messages set what = ''",
            "select ops.resolve_alert(1)", "delete from ops.silences",
        ):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
        connection.execute("reset role")
    connection.execute("set role airworthy_reader")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select * from ops.alerts")
    connection.execute("reset role")


def test_what_came_to_nothing_is_tried_once_more_and_not_twice(
    inside: Settings, connection: database.Connection
) -> None:
    land_days(inside, FIRST)
    steps.take_in(["flights"])
    assert steps.plan() == 1  # and whoever planned it is gone
    assert steps.retry() == []  # it may be under way
    leave_alone(connection)
    with open_warehouse("run"):
        assert steps.retry() == []  # it is
    leave_alone(connection)
    assert steps.retry() == ["flights"]
    leave_alone(connection)
    assert steps.retry() == []
    steps.take_in(["weather"])
    leave_alone(connection)
    assert steps.retry() == ["flights", "weather"]


def test_no_other_try_is_made_of_what_was_judged_unfit_or_is_held(
    inside: Settings, connection: database.Connection
) -> None:
    land_days(inside, FIRST)
    steps.take_in(["flights"])
    number = steps.plan()
    connection.execute("update ops.runs set state = 'built'")  # dbt had begun
    with pytest.raises(GateBlocked):
        steps.gate(number)  # nothing was built: there is no evidence against the data
    leave_alone(connection)
    unfit = connection.execute(
        "update ops.gate_results set observed = 'fail' where check_id ="
        " (select min(check_id) from ops.gate_results where not passed) returning observed"
    )
    assert unfit.fetchall() == [("fail",)]
    assert steps.retry() == []
    connection.execute("update ops.gate_results set observed = 'no result' where not passed")
    connection.execute("insert into ops.holds (set_by, reason) values ('tester', 'tested')")
    assert steps.retry() == []
    connection.execute("update ops.holds set lifted_at = now(), lifted_by = 'tester'")
    assert steps.retry() == ["flights"]


def test_watching_with_retry_publishes_what_nobody_did(
    inside: Settings, connection: database.Connection
) -> None:
    land_days(inside, FIRST)
    for sources in steps.find_new():
        steps.take_in(sources)
    leave_alone(connection)
    done = CliRunner().invoke(cli, ["watch"])
    assert done.exit_code == 0, done.output
    assert connection.execute("select from ops.publications").fetchall() == []
    done = CliRunner().invoke(cli, ["watch", "--retry"])
    assert "published by nobody; one more run" in done.output
    assert len(connection.execute("select from ops.publications").fetchall()) == 1
    leave_alone(connection)
    assert steps.retry() == []
    done = CliRunner().invoke(cli, ["watch", "--retry", "--at", "2013-03-09"])
    assert isinstance(done.exception, UsageError)
