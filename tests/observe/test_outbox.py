"""Messages wait until each channel of their route has them; what breaks there stops no step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from tests.observe.alerts import alert, messages, promise_nothing, settle
from tests.support import files
from tests.support.checkout import Checkout
from tests.support.receiver import Receiver

_WRONG = "channels: {here: stdout}\nroutes: [{to: there}]"


@pytest.fixture
def channel() -> Receiver:
    """Down, with a port of its own."""
    receiver = Receiver()
    with receiver.up():
        return receiver


def route(made: Checkout, text: str) -> Callable[[], object]:
    """Let these be the routes; call the answer to have the project's own again."""
    path = made.var / "routes.yml"
    path.write_text(text)
    made.variables["ALERT_ROUTES"] = str(path)
    return lambda: made.variables.pop("ALERT_ROUTES")


def make_due(made: Checkout) -> None:
    made.execute("update ops.alert_messages set next_try_at = now() - interval '1 second'")


@contextmanager
def next_try_in(made: Checkout, seconds: int) -> Iterator[None]:
    """So long after what is done in the block, a message is tried again."""
    now = "select clock_timestamp()"
    began = made.value(now)
    yield
    tried = "select next_try_at from ops.alert_messages order by attempts desc limit 1"
    wait = timedelta(seconds=seconds)
    assert began + wait <= made.value(tried) <= made.value(now) + wait


def test_a_channel_that_is_down_loses_nothing_and_holds_up_nobody(
    empty: Checkout, channel: Receiver
) -> None:
    promise_nothing(empty)
    empty.variables["TEAM_HOST"] = "127.0.0.1"
    route(
        empty,
        f"channels: {{team: 'json://${{TEAM_HOST}}:{channel.port}', here: stdout}}\n"
        "routes: [{severity: page, to: here}, {to: [team, here]}]",
    )
    settle(empty, alert())
    with next_try_in(empty, 60):
        said = empty.call("watch")
    assert "channel team took nothing: " in said
    assert "channel here" not in said
    assert said.count("[ticket]") == 1
    tried = empty.query("select attempts, error, told, state from ops.alert_messages")
    ((attempts, error, told, state),) = tried
    assert (attempts, told, state) == (1, ["here"], "waiting")
    assert error.startswith("team: ")
    assert "***" in error, "apprise named the host, which is a secret here"
    assert "127.0.0.1" not in error + said
    assert "took nothing" not in empty.call("watch"), "not before its time"
    assert empty.value("select attempts from ops.alert_messages") == 1

    # It heals while the channel is down: both are told, in this order.
    settle(empty)
    make_due(empty)
    with channel.up(answer=503), next_try_in(empty, 120):  # longer from try to try
        said = empty.call("watch")
    assert "503" in said.partition("channel team took nothing: ")[2]
    assert channel.heard == []
    assert empty.query("select attempts from ops.alert_messages order by 1") == [(0,), (2,)]
    make_due(empty)
    with channel.up():
        said = empty.call("watch")
    assert said.count("[resolved] tests of 1 March have not arrived") == 1
    _has_both_in_full(channel)
    assert [state for _, _, state in messages(empty)] == ["sent", "sent"]


def _has_both_in_full(channel: Receiver) -> None:
    opened, resolved = channel.heard
    assert opened["title"] == "[ticket] tests of 1 March have not arrived"
    for line in (
        "since: 2013-03-02 11:00 UTC", "impact: none", "owner: testers",
        "runbook: runbooks/source-late.md", "look closer: make watch",
    ):  # fmt: skip
        assert line in opened["message"].splitlines()
    assert opened["type"] == "warning"
    assert resolved["title"].startswith("[resolved]")


def test_a_worse_alert_is_told_again_and_by_its_severitys_route(
    empty: Checkout, channel: Receiver
) -> None:
    promise_nothing(empty)
    route(
        empty,
        f"channels: {{page: 'json://127.0.0.1:{channel.port}', here: stdout}}\n"
        "routes: [{severity: [page], owner: testers, to: page}, {to: here}]",
    )
    for severity in ("log", "page", "ticket"):
        settle(empty, alert(severity=severity))
    with channel.up():
        said = empty.call("watch")
    assert said.count("[log] tests of") == 1
    assert [heard["type"] for heard in channel.heard] == ["failure"]
    assert [told[1:] for told in messages(empty)] == [("opened", "sent"), ("worse", "sent")]


def test_with_wrong_routes_a_step_goes_on_and_the_alert_waits(empty: Checkout) -> None:
    unroute = route(empty, _WRONG)
    files.write(empty.landing / "readme.txt", [""])
    assert empty.step("take_in", ["unmatched"])["rejected"] == ["readme.txt"]
    assert "nobody was told now: The alert routes" in empty.said
    assert "there is no channel there" in empty.said
    assert messages(empty) == [("rejected:unmatched", "opened", "waiting")]
    assert "there is no channel there" in empty.call("watch", code=2)
    unroute()
    empty.step("watch")
    assert messages(empty)[0] == ("rejected:unmatched", "opened", "sent")
    assert empty.value("select count(*) from ops.due_messages") == 0
    route(empty, _WRONG)
    assert "there is no channel there" in empty.call("watch", code=2)


def test_whatever_breaks_while_telling_the_steps_own_outcome_stands(empty: Checkout) -> None:
    empty.execute("drop view ops.due_messages")
    files.write(empty.landing / "readme.txt", [""])
    assert empty.step("take_in", ["unmatched"])["rejected"] == ["readme.txt"]
    assert 'nobody was told now: relation "ops.due_messages" does not exist' in empty.said
    assert messages(empty) == [("rejected:unmatched", "opened", "waiting")]
