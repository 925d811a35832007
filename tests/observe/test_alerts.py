"""What is wrong is an alert, told once, and over when it is mended; a silence keeps it quiet."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests.observe.alerts import alert, keys, messages, promise_nothing, settle
from tests.support import files
from tests.support.checkout import Checkout

# What a step's end does to tell what waits, by which its role's rights are seen.
_TELL = (
    """
    select messages.*, alerts.key
    from ops.alert_messages as messages inner join ops.alerts using (alert_id)
    where message_id in (select message_id from ops.due_messages) for update of messages
    """,
    """
    update ops.alert_messages
    set state = 'sent', told = '{here}', attempts = attempts + 1, next_try_at = now(),
        sent_at = now(), error = null
    """,
    "update ops.alert_messages set state = 'waiting'",
)
_FORBIDDEN = (
    "insert into ops.alerts default values", "update ops.alerts set severity = 'log'",
    "delete from ops.alert_messages", "update ops.alert_messages set what = ''",
    "select ops.resolve_alert(1)", "delete from ops.silences",
)  # fmt: skip


def test_a_blocked_gate_is_a_ticket_at_once_and_heals_with_the_next_run(empty: Checkout) -> None:
    empty.list_stations()
    hot = files.reading(hour=23, number=2, temperature=800)
    empty.deliver([*files.readings()[:-1], hot])
    said = empty.call("run", code=3)
    assert "[ticket] The gate blocks run 1: " in said
    assert "owner: climate" in said
    assert "Nothing is published." in said
    assert keys(empty) == ["blocked:run"]

    # The corrected file passes; a check that only warns is not met.
    wet = files.reading(hour=23, number=2, rain=450)
    empty.deliver([*files.readings()[:-1], wet])
    said = empty.call("run")
    assert "[resolved] The gate blocks run 1" in said
    assert "[log] Run 2 is published with a warning, first fct_readings: " in said
    assert keys(empty) == ["warned:climate"]


def test_rejected_deliveries_are_one_ticket_that_heals_with_a_corrected_file(
    empty: Checkout,
) -> None:
    days = [files.DAY, files.DAY + timedelta(1)]
    for day in days:
        header, *rows = files.readings(day)
        empty.deliver([header.replace("observer", "who"), *rows], day)
    assert len(empty.step("take_in", ["readings"])["rejected"]) == 2
    said = empty.said
    assert said.count("[ticket] 2 deliveries of readings rejected, the newest readings/2013/") == 1
    assert "look closer: make quarantine SOURCE=readings" in said
    assert "owner: field-data" in said
    assert "alert  1, ticket: 2 deliveries of readings rejected" in empty.call("status")
    empty.land(days[0])
    empty.step("take_in", ["readings"])
    assert keys(empty) == ["rejected:readings"], "the other one still is"
    empty.land(days[1])
    empty.step("take_in", ["readings"])
    assert keys(empty) == []
    assert [news for _, news, _ in messages(empty)] == ["opened", "resolved"]


def test_a_file_that_fits_no_contract_is_forgotten_when_it_is_taken_away(empty: Checkout) -> None:
    promise_nothing(empty)
    stray = files.write(empty.landing / "readme.txt", [""])
    empty.step("take_in", ["unmatched"])
    assert keys(empty) == ["rejected:unmatched"]
    stray.unlink()
    empty.step("watch")
    assert keys(empty) == []
    assert empty.step("find_new") == []


def test_a_silence_keeps_quiet_until_its_end_and_not_longer(empty: Checkout) -> None:
    promise_nothing(empty)
    said = empty.call("silence", "--alert", "late:tests", "--until", "2h", "--reason", "they know")
    assert "late:tests: nobody is told until " in said
    ((length, left),) = empty.query("select until - set_at, until - now() from ops.silences")
    assert timedelta(hours=1, minutes=59) < length <= timedelta(hours=2)
    assert left <= timedelta(hours=2)
    settle(empty, alert(), alert("late:others"))
    said = empty.call("watch")
    assert said.count("[ticket]") == 1
    assert said.count("(silenced until ") == 1
    silenced = "select key, silenced_until is not null from ops.open_alerts order by alert_id"
    assert empty.query(silenced) == [("late:tests", True), ("late:others", False)]
    # It healed while nobody wanted to hear of it.
    settle(empty, alert("late:others"))
    assert "[" not in _told(empty)
    # It comes again and outlasts the silence.
    settle(empty, alert(), alert("late:others"))
    assert "[" not in _told(empty)
    number = empty.value("select alert_id from ops.open_alerts where key = 'late:tests'")
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    empty.call("silence", "--alert", str(number), "--until", now, "--reason", "back from holidays")
    assert _told(empty).count("[ticket] tests of 1 March") == 1
    states = [("opened", "silenced"), ("opened", "sent"), ("opened", "sent")]
    assert [told[1:] for told in messages(empty)] == states
    logged = "select who, reason from ops.audit_log where action = 'silence' order by audit_id"
    ((who, why), _) = empty.query(logged)
    assert (who, why.endswith("they know")) == ("tester", True)


def _told(made: Checkout) -> str:
    """What a look says below the table of open alerts."""
    return made.call("watch").partition("Open alerts")[2]


def test_a_silence_that_makes_no_sense_is_refused(empty: Checkout) -> None:
    for name, until, reason, message in (
        ("99", "2h", "so", "no alert '99'"),
        ("late:x", "soon", "so", "UNTIL is 'soon'"),
        ("late:x", "9999d", "so", "at most 90 days"),
        ("late:x", "2h", " ", "needs a reason"),
    ):
        asked = ("--alert", name, "--until", until, "--reason", reason)
        assert message in empty.call("silence", *asked, code=2)
    assert empty.value("select count(*) from ops.silences") == 0


def test_a_deadline_that_was_missed_is_an_alert_until_something_is_published(
    published: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Airflow's triggerer calls this one itself, with its context; there is no other way to it but
    # a run that takes too long.
    from orchestration.dags.parts.alerts import late

    promise_nothing(published)
    with monkeypatch.context() as patched:
        for name, value in published.variables.items():
            patched.setenv(name, value)
        asyncio.run(late(context={"dag_run": {"dag_id": "warehouse"}}))
    assert "[log] The run of warehouse has not ended in time" in capsys.readouterr().out
    published.step("watch")
    assert keys(published) == ["deadline:warehouse"]
    published.execute("update ops.alerts set since = now() - interval '25 hours'")
    published.step("watch")
    assert keys(published) == [], "a day is enough"

    published.step("late", "backfill", "climate")
    assert "[log] The run of backfill has not ended in time" in published.said
    assert keys(published) == ["deadline:backfill"]
    before = "(select max(published_at) - interval '1 minute' from ops.publications)"
    published.execute(f"update ops.alerts set since = {before} where resolved_at is null")
    published.step("watch")
    assert keys(published) == [], "something was published since"


def test_no_role_writes_alerts_but_by_the_function(empty: Checkout) -> None:
    for role in ("loader", "transformer", "auditor", "publisher"):
        settle(empty, alert(), role=role)
        with empty.connect(role=role) as connection:
            for statement in _TELL:
                assert connection.execute(statement).rowcount == 1
            for statement in _FORBIDDEN:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)
    with (
        empty.connect(role="reader") as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("select * from ops.alerts")
