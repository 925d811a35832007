"""Airflow starts what Prefect runs, and the other way round: once, whatever gets lost."""

from __future__ import annotations

import json
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from orchestration.airflow_server import api as airflow_api
from orchestration.errors import AirworthyError
from orchestration.prefect_server import api as prefect_api
from tests.checkout import STEPS, Checkout
from tests.steps import leave_alone

_NOWHERE = "http://127.0.0.1:9"
_CHUNKS = (
    "select chunks.state || ' ' || coalesce(runner, 'None')"
    " from ops.backfill_chunk_states as chunks left join ops.runs using (run_id) order by number"
)

_NEWEST = "select runner || ' ' || state from ops.runs order by run_id desc limit 1"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """Both servers over one warehouse, in which one day was published from the shell."""
    checkout = Checkout.at(tmp_path_factory.mktemp("checkout") / "project")
    checkout.land("2013-01-01")
    try:
        checkout.verb("run")
        checkout.verb("prefect")
        checkout.verb("airflow")
        yield checkout
    finally:
        checkout.verb("airflow-down")
        checkout.verb("prefect-down")
        checkout.verb("clean-data")


@contextmanager
def losing_first_answer(address: str, path: str) -> Iterator[str]:
    """An address that hands on each request, but not the answer to the first POST to `path`."""
    host, port = address.removeprefix("http://").split(":")
    lost = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def hand_on(client: socket.socket) -> None:
        with client, socket.create_connection((host, int(port))) as server:
            asked = client.recv(1_000_000)
            head, _, body = asked.partition(b"\r\n\r\n")
            length = next(
                (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n")
                 if line.startswith(b"content-length")), 0,
            )  # fmt: skip
            while len(body) < length:
                body += client.recv(1_000_000)
            server.sendall(head + b"\r\n\r\n" + body)  # urllib asks for Connection: close
            answer = b""
            while piece := server.recv(1_000_000):
                answer += piece
            if head.startswith(b"POST") and path.encode() in head and not lost.is_set():
                lost.set()
                return
            client.sendall(answer)

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            hand_on(client)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert lost.is_set()
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def end_of_dag(both: Checkout, dag: str, run_id: str) -> str:
    state = ""
    for _ in both.patiently():
        state = both.airflow.state(dag, run_id)
        if state in ("success", "failed"):
            break
    return state


def test_airflow_starts_a_prefect_deployment_and_waits(both: Checkout) -> None:
    run_id = both.airflow.start("run_prefect")
    assert end_of_dag(both, "run_prefect", run_id) == "success"
    (run,) = both.runs("warehouse")
    assert run["idempotency_key"] == f"airflow.run_prefect.{run_id}.run.-1"
    assert both.end(run["id"])["type"] == "COMPLETED"


def test_prefect_starts_an_airflow_dag_and_waits(both: Checkout) -> None:
    run = both.start("airflow-dag")
    assert both.end(run)["message"] == f"Airflow's run prefect.{run} of warehouse succeeded."
    assert both.airflow.state("warehouse", f"prefect.{run}") == "success"


def test_prefect_announces_an_asset_that_starts_a_dag(both: Checkout) -> None:
    before = len(both.airflow.get("dags/ingest/dagRuns")["dag_runs"])
    assert both.end(both.start("airflow-asset"))["type"] == "COMPLETED"
    for _ in both.patiently():
        if len(both.airflow.get("dags/ingest/dagRuns")["dag_runs"]) > before:
            return
    pytest.fail("no run of ingest")


@pytest.mark.parametrize("dag", list(STEPS))
def test_the_steps_of_airflow_are_those_of_prefect(both: Checkout, dag: str) -> None:
    tasks = {t["task_id"]: t for t in both.airflow.get(f"dags/{dag}/tasks")["tasks"]}
    below = {name: _reached(tasks, name) for name in tasks}
    first_first = sorted(tasks, key=lambda name: (-len(below[name]), name))
    steps = dict.fromkeys(name.split(".")[0] for name in first_first)  # `build` is a group
    assert list(steps) == STEPS[dag]


def _reached(tasks: dict[str, dict[str, list[str]]], name: str) -> set[str]:
    direct = tasks[name]["downstream_task_ids"]
    return set(direct).union(*(_reached(tasks, each) for each in direct))


def test_a_lost_answer_starts_no_second_run_in_prefect(both: Checkout) -> None:
    home = both.prefect_home
    with losing_first_answer(home.address, "create_flow_run") as address:
        client = prefect_api.Client(f"{address}/api", home.login)
        run_id = client.start("warehouse/local", "asked once")
    assert [r["id"] for r in both.runs("warehouse") if r["idempotency_key"] == "asked once"] == [
        run_id
    ]


def test_a_lost_answer_starts_no_second_run_in_airflow(both: Checkout) -> None:
    home = both.airflow_home
    with losing_first_answer(home.address, "dagRuns") as address:
        airflow_api.Client(address, home.password).start("warehouse", "asked-once")
    runs = both.airflow.get("dags/warehouse/dagRuns")["dag_runs"]
    assert [r["dag_run_id"] for r in runs].count("asked-once") == 1
    with losing_first_answer(home.address, "assets/events") as address:
        airflow_api.Client(address, home.password).announce("landing", "told once")
    events = both.airflow.get("assets/events")["asset_events"]
    assert [e["extra"].get("key") for e in events].count("told once") == 1


def test_a_server_that_is_down_is_named_with_what_starts_it() -> None:
    with pytest.raises(AirworthyError, match=f"Prefect's server at {_NOWHERE}") as found:
        prefect_api.Client(_NOWHERE, "a:b").call("GET", "ready")
    assert "make prefect" in found.value.todo
    with pytest.raises(AirworthyError, match=f"Airflow's API server at {_NOWHERE}") as found:
        airflow_api.Client(_NOWHERE, "").call("GET", "dags")
    assert "make airflow" in found.value.todo


def test_a_backfill_begun_in_airflow_is_stopped_and_goes_on_in_prefect(both: Checkout) -> None:
    for day in ("2013-01-02", "2013-01-03"):
        both.land(day)
    both.verb("run")
    digest = both.verb("digest")
    asked = {"start": "2013-01-01", "end": "2013-01-03", "chunk": "day", "reason": "tested"}
    run_id = both.airflow.start("backfill", given=asked)
    for _ in both.patiently():
        if both.ask("select 1 from ops.runs where kind = 'backfill'"):
            break
    both.verb("backfill-pause")
    assert end_of_dag(both, "backfill", run_id) == "failed"
    assert both.ask(_CHUNKS) == "published airflow\nwaiting None\nwaiting None"

    flow_run = both.start("backfill", resume=1)
    assert both.end(flow_run)["message"] == "Backfill 1 is done."
    assert both.ask(_CHUNKS) == "published airflow\npublished prefect\npublished prefect"
    assert both.ask("select state from ops.backfills") == "finished"
    assert both.verb("digest") == digest


@pytest.mark.parametrize("runner", ["airflow", "prefect"])
def test_what_nobody_published_is_tried_once_more(both: Checkout, runner: str) -> None:
    (delivery,) = both.ask(
        "select delivery_id from ops.active_deliveries where source = 'weather' limit 1"
    ).split()
    both.verb("replay", "--delivery", delivery)  # which no runner hears of
    with both.connected() as connection:
        leave_alone(connection)
    if runner == "airflow":
        assert end_of_dag(both, "watch", both.airflow.start("watch")) == "success"
    else:
        assert both.end(both.start("watch"))["type"] == "COMPLETED"
    for _ in both.patiently():
        if both.ask("select * from ops.unattended") == "":
            break
    assert both.ask(_NEWEST) == f"{runner} published"
    newest = "(select max(delivery_id) from ops.active_deliveries)"
    assert both.ask(f"select 1 from ops.retries where delivery_id = {newest}") == "1"


def test_lineage_names_jobs_and_datasets_alike_whoever_ran_them(both: Checkout) -> None:
    lines = (both.folder / "var/lineage/events.jsonl").read_text().splitlines()
    told = [event for event in map(json.loads, lines) if event["eventType"] == "COMPLETE"]
    runners = {e["run"]["runId"]: _tags(e)["runner"] for e in told if e["job"]["name"] == "run"}
    names: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for event in told:
        parent = event["run"]["facets"].get("parent", {}).get("run", {}).get("runId")
        if parent in runners:
            for named in (event["job"], *event["inputs"], *event["outputs"]):
                names[runners[parent]].add((named["namespace"], named["name"]))
    # What each had to build differs by its days; the first day, by the shell, built everything.
    assert set(names) == {"shell", "airflow", "prefect"}
    assert ("airworthy", "build.candidate.fct_flights") in names["airflow"] & names["prefect"]
    assert names["airflow"] <= names["shell"]
    assert names["prefect"] <= names["shell"]


def _tags(event: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in event["run"]["facets"]["tags"]["tags"]}


def test_airflow_refuses_a_backfill_that_makes_no_sense(both: Checkout) -> None:
    with pytest.raises(airflow_api.Refused, match="chunk"):
        both.airflow.start("backfill", given={"start": "2013-01-01", "chunk": "fortnight"})
    run_id = both.airflow.start("backfill", given={"start": "2013-01-02", "end": "2013-01-01"})
    assert end_of_dag(both, "backfill", run_id) == "failed"
    only_looked = {"start": "2013-01-01", "end": "2013-01-01", "dry_run": "1"}
    run_id = both.airflow.start("backfill", given=only_looked)
    assert end_of_dag(both, "backfill", run_id) == "success"
