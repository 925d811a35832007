"""Run the flows once, in this process: `python -m orchestration.flows.once`, by `make prefect-run`.

Reads and writes what the steps do. Exit codes as those of the verbs.
"""

from __future__ import annotations

import sys

from orchestration import console
from orchestration.errors import AirworthyError
from orchestration.flows.ingest import ingest_flow
from orchestration.flows.warehouse import warehouse_flow


def main() -> int:
    """What landed is taken in; what was taken in is published, even when a file was rejected."""
    code = 0
    for flow in (ingest_flow, warehouse_flow):
        try:
            flow()
        except AirworthyError as error:
            console.report(error)
            code = error.exit_code
    return code


if __name__ == "__main__":
    sys.exit(main())
