"""What lands is checked against its contract and loaded; then `warehouse` may start.

Starts when the watcher on the landing place sees something new, and every half hour in case it
missed something. One task takes in one group of sources: those whose columns refer to each other.
A rejected file stays where it landed and fails the flow; all others are loaded.
"""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed, State
from prefect.task_runners import ThreadPoolTaskRunner

from orchestration.errors import DeliveryRejected
from orchestration.flows.parts.events import tell_loaded
from orchestration.flows.parts.task import ended_with_flow, once, perform, step

# How many groups are loaded at once.
_AT_ONCE = 2


@step
def find() -> list[list[str]]:
    """What waits at the landing place, in groups of sources."""
    groups: list[list[str]] = perform("find_new")
    return groups


@step
def take_in(sources: list[str]) -> dict[str, list[str]]:
    """Check and load what waits of `sources`."""
    done: dict[str, list[str]] = perform("take_in", sources)
    return done


@once
def announce(done: list[dict[str, list[str]]]) -> list[str]:
    """Tell the world which sources brought rows."""
    loaded = sorted({source for each in done for source in each["loaded"]})
    tell_loaded(loaded)
    return loaded


@once
def reject(done: list[dict[str, list[str]]]) -> None:
    """Fail if a file was rejected."""
    uris = [uri for each in done for uri in each["rejected"]]
    if uris:
        raise DeliveryRejected(f"{len(uris)} landed files were rejected: {uris[:3]}")


@flow(
    name="ingest",
    persist_result=False,
    description=__doc__,
    task_runner=ThreadPoolTaskRunner(max_workers=_AT_ONCE),
)
def ingest_flow() -> State[None]:
    """Find, take in, announce, reject."""
    with ended_with_flow():
        taken = take_in.map(find())
        states = [future.state for future in taken if future.wait() is None]
        done = [state.result() for state in states if state.is_completed()]
        loaded = announce(done)
        for state in states:
            state.result()
        reject(done)
    return Completed(message=f"Loaded: {', '.join(loaded) or 'nothing'}.")
