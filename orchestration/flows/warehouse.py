"""From what was delivered to one publication: plan, build, gate, publish.

Starts when `ingest` has loaded something, or `watch` finds that nobody published it. A failed
model, test or check fails the flow, and nothing is published. Killed or cancelled: its run in the
ledger is superseded, by the flow itself or by the next plan, which builds the same again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.exceptions import TerminationSignal
from prefect.states import Completed, State

from orchestration.errors import BuildFailed, PublishingHeld
from orchestration.flows.parts.nodes import followed
from orchestration.flows.parts.task import ended_with_flow, perform, step


@step
def plan() -> int | None:
    """Decide what to build; None when there is nothing to do."""
    number: int | None = perform("plan")
    return number


@step
def build(number: int) -> None:
    """Build and test the candidate, with a task run per node."""
    with followed() as nodes:
        failed = perform("build", number, on_node=nodes.heard)
    if failed:
        raise BuildFailed(
            f"dbt failed or skipped: {', '.join(failed)}",
            kept="The published marts are untouched.",
            todo="The gate says why; see runbooks/gate-blocked-publish.md.",
        )


@step
def gate(number: int) -> None:
    """Judge the candidate: dbt's evidence and the expectations."""
    perform("gate", number)


@step
def publish(number: int) -> None:
    """Publish the audited candidate, all marts at once."""
    perform("publish", number)


@flow(name="warehouse", persist_result=False, description=__doc__)
def warehouse_flow() -> State[None]:
    """Plan, build, gate, publish."""
    with ended_with_flow():
        number = plan()
        if number is None:
            return Completed(message="Nothing was delivered or changed.")
        with _accounted(number):
            built = build(number, return_state=True)
            if built.is_failed() and not isinstance(_error(built), BuildFailed):
                built.result()
            gate(number)
            published = publish(number, return_state=True)
    if published.is_failed() and isinstance(held := _error(published), PublishingHeld):
        return Completed(message=f"Run {number} passed and waits. {held}")
    published.result()
    return Completed(message=f"Run {number} is published.")


def _error(state: State[None]) -> object:
    """What a failed task raised; the state itself may hold a record of it."""
    return state.result(raise_on_failure=False)


@contextmanager
def _accounted(number: int) -> Iterator[None]:
    """Leave an account of the run as an artifact, whatever becomes of it."""
    try:
        yield
    except TerminationSignal:
        perform("abandon", number)
        raise
    finally:
        text = perform("account", number)
        create_markdown_artifact(text, key="run", description=f"Run {number}")
