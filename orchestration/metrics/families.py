"""The metrics there are: names, units, labels and meaning.

Pure. Each group is computed by the query of its name in `queries/`, whose columns are the labels
and the metrics. Labels hold names that the project itself gives: sources, marts, models, columns,
states. Dashboards and alert rules are tested against this list.
"""

from __future__ import annotations

from dataclasses import dataclass

LATENESS = "lateness"


@dataclass(frozen=True)
class Family:
    """One metric.

    Attributes:
        kind: gauge or counter; the name of a counter ends in `_total`.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: str = "gauge"


def _counter(name: str, text: str, *labels: str) -> Family:
    return Family(name, text, labels, "counter")


LEDGER_UP = Family("airworthy_ledger_up", "1 when the ledger could be read.")
QUERY_UP = Family("airworthy_query_up", "1 when the group could be computed.", ("query",))

GROUPS: dict[str, tuple[Family, ...]] = {
    "deliveries": (
        _counter(
            "airworthy_deliveries_total", "Landed files that were looked at.", "source", "outcome"
        ),
    ),
    "rows": (
        _counter("airworthy_rows_received_total", "Rows in deliveries taken in.", "source"),
        _counter("airworthy_rows_loaded_total", "Rows loaded into raw.", "source"),
        _counter("airworthy_rows_quarantined_total", "Rows that broke a contract.", "source"),
        Family(
            "airworthy_delivery_timestamp_seconds", "When the last was recorded.", ("source",)
        ),
    ),
    "backlog": (
        Family(
            "airworthy_backlog_deliveries", "Deliveries accepted and not published.", ("source",)
        ),
        Family(
            "airworthy_backlog_rows", "Rows of deliveries accepted and not published.", ("source",)
        ),
        Family(
            "airworthy_backlog_oldest_seconds", "How long the oldest waits.", ("source",)
        ),
    ),
    "runs": (
        Family("airworthy_runs", "Runs in the ledger.", ("kind", "runner", "state")),
    ),
    "now": (
        _counter("airworthy_publications_total", "Publications and rollbacks."),
        Family("airworthy_publication_timestamp_seconds", "When marts were published last."),
        Family("airworthy_publishing_held", "1 while a hold keeps runs from being published."),
        Family("airworthy_run_active_seconds", "For how long the unfinished run has been; else 0."),
        Family("airworthy_gate_blocked", "1 when the newest verdict blocks."),
    ),
    "steps": (
        Family(
            "airworthy_step_duration_seconds",
            "How long each step took in the newest published run.",
            ("step",),
        ),
    ),
    "models": (
        Family("airworthy_model_duration_seconds", "How long its last build took.", ("model",)),
        Family("airworthy_model_budget_seconds", "How long it may take.", ("model",)),
        Family("airworthy_model_built_rows", "How many rows its last build wrote.", ("model",)),
    ),
    "marts": (
        Family("airworthy_published_rows", "Rows of a published mart.", ("mart",)),
        _counter("airworthy_rows_published_total", "Rows changed by publications.",
                 "mart", "change"),
    ),
    "gate": (
        Family("airworthy_gate_failed_checks", "Failed checks of the newest judged run.",
               ("severity",)),
        _counter("airworthy_gate_failures_total", "Failed checks of all runs.", "severity"),
    ),
    "columns": (
        Family("airworthy_null_share_ratio", "Nulls in a watched column, as last checked.",
               ("mart", "column")),
        Family("airworthy_distribution_divergence",
               "Kullback-Leibler divergence of a watched column from what is usual.",
               ("mart", "column")),
    ),
    "backfills": (
        Family("airworthy_backfill_chunks", "Chunks of backfills that are not finished.",
               ("state",)),
    ),
    LATENESS: (
        Family("airworthy_source_slices", "Slices that were promised and are not there.",
               ("source", "state")),
        Family("airworthy_mart_freshness_seconds",
               "Since the end of the newest date up to which a mart is complete.", ("mart",)),
        Family("airworthy_mart_changed_timestamp_seconds", "When a publication changed it last.",
               ("mart",)),
        Family("airworthy_mart_wanted_slices",
               "Slices by which a mart misses or will miss what was promised.", ("mart", "state")),
    ),
}  # fmt: skip


def every() -> list[Family]:
    """All metrics that `/metrics` can show."""
    return [LEDGER_UP, QUERY_UP, *(family for group in GROUPS.values() for family in group)]
