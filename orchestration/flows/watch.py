"""What is due, late and missing, every ten minutes: alerts are raised, resolved and sent.

Lateness comes from the calendar and the ledger, so this flow depends on no other, and works when
nothing else runs. A channel that is down is tried again by the next run; the flow fails only when a
contract or the routes cannot be read. What arrived and was published by nobody is announced once
more, and `warehouse` starts again; never twice for the same deliveries.
"""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed, State

from orchestration.flows.parts.events import tell_loaded
from orchestration.flows.parts.task import ended_with_flow, perform, step


@step
def watch() -> None:
    """Look, raise and resolve alerts, tell people."""
    perform("watch")


@step
def retry() -> None:
    """Have what nobody published tried once more."""
    tell_loaded(perform("retry"))


@flow(name="watch", persist_result=False, description=__doc__)
def watch_flow() -> State[None]:
    """Look once."""
    with ended_with_flow():
        looked = watch(return_state=True)
        retry()
        looked.result()
    return Completed(message="The alerts are what the calendar and the ledger call for.")
