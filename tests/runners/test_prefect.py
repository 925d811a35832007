"""What Prefect runs is what the shell runs, and its page says what became of it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.request import Request, urlopen

import yaml

from tests.support.orchestrators import STEPS, Prefect, digest_by_shell, new_day
from tests.support.patience import until


def test_what_lands_is_published_as_the_shell_does_it(prefect: Prefect, tmp_path: Path) -> None:
    made, before = prefect.checkout, prefect.checkout.publications
    made.land(new_day())
    until(lambda: made.publications > before, 120, every=0.2)
    number = made.value("select max(run_id) from ops.runs")
    said = f"Run {number} is published."
    (run,) = until(lambda: [r for r in prefect.runs() if r["state"]["message"] == said], 60)
    assert made.value("select runner from ops.runs where run_id = %s", number) == "prefect"
    assert made.call("digest") == digest_by_shell(tmp_path)

    # The steps are tasks in their order, and each node of the run is one.
    prefect.end(prefect.start("watch"))
    nodes = made.query(
        "select resource_type || ' ' || name from ops.run_nodes where run_id = %s", number
    )
    newest = {flow: prefect.runs(flow)[-1]["id"] for flow in ("ingest", "watch")}
    for flow, flow_run in {**newest, "warehouse": run["id"]}.items():
        names = [task["name"] for task in prefect.tasks(flow_run)]
        assert list(dict.fromkeys(name for name in names if " " not in name)) == STEPS[flow]
        drawn = sorted(name for name in names if " " in name)
        assert drawn == (sorted(name for (name,) in nodes) if flow == "warehouse" else [])

    # It leaves its account and its assets.
    artifacts = prefect.client.call("POST", "artifacts/filter", {})
    account = next(a["data"] for a in artifacts if f"Run {number}:" in a["data"])
    for word in (
        "published", "readings", "**Passed.**", "agg\\_stations\\_daily", "make diff", "index.html",
    ):  # fmt: skip
        assert word in account
    body = {"filter": {"event": {"prefix": ["prefect.asset.materialization"]}}, "limit": 50}
    events = prefect.client.call("POST", "events/filter", body)["events"]
    keys = {event["resource"]["prefect.resource.id"] for event in events}
    assert "postgres://airworthy/candidate/agg_stations_daily" in keys


def test_its_metrics_are_where_prometheus_looks(prefect: Prefect) -> None:
    below = Path(__file__).parents[2] / "observability/prometheus"
    scraped = yaml.safe_load((below / "prometheus.yml").read_text())
    (job,) = [job for job in scraped["scrape_configs"] if job["job_name"] == "prefect"]
    ((found,),) = [group["files"] for group in job["file_sd_configs"]]
    var = prefect.checkout.var

    def read(name: str) -> str:
        """A file below `var`, as the configuration names it from its own folder."""
        return (var / Path(name).relative_to("../../var")).read_text()

    ((target,),) = [group["targets"] for group in json.loads(read(found))]
    password = read(job["basic_auth"]["password_file"])
    login = base64.b64encode(f"{job['basic_auth']['username']}:{password}".encode()).decode()
    asked = Request(
        f"http://{target}{job['metrics_path']}", headers={"Authorization": f"Basic {login}"}
    )
    with urlopen(asked) as answer:
        assert b"process_cpu_seconds_total" in answer.read()
