"""What Prometheus reads from `make metrics`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.request import urlopen

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support import shared
from tests.support.checkout import Checkout
from tests.support.points import await_while_running

Samples = dict[tuple[str, tuple[str, ...]], float]
Scrape = Callable[[], list[Metric]]


@contextmanager
def served(made: Checkout, **variables: str) -> Iterator[Scrape]:
    """Serve metrics; call what is yielded for one scrape."""
    port = shared.free_port()
    process = made.start("metrics", METRICS_PORT=str(port), **variables)
    await_while_running(lambda: "Ctrl-C ends it" in process.said, process)

    def scrape() -> list[Metric]:
        with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            return list(text_string_to_metric_families(answer.read().decode()))

    yield scrape
    process.kill()


def samples(families: list[Metric]) -> Samples:
    """Each sample by its name and the values of its labels, in the order of their names."""
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def names(families: list[Metric]) -> set[str]:
    """The names of all metrics, also of those without a value."""
    return {f.name + "_total" * (f.type == "counter") for f in families}
