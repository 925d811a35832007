"""The verbs: `python -m orchestration <verb>`; every make target is one of them.

Exit codes: see `orchestration.errors`.
"""

from __future__ import annotations

import errno
import sys

import click
import psycopg

from orchestration import console, settings
from orchestration.errors import AirworthyError
from orchestration.verbs import (
    backfills,
    deliveries,
    observing,
    orchestrators,
    project,
    publications,
    server,
    steps,
    watching,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """From landed files to audited, published marts."""
    console.use(settings.load().log_format)


for _module in (
    server,
    steps,
    deliveries,
    publications,
    backfills,
    watching,
    observing,
    project,
    orchestrators,
):
    for _command in vars(_module).values():
        if isinstance(_command, click.Command):
            cli.add_command(_command)


def main() -> None:
    """Run a verb; every error ends as a message and an exit code, never as a traceback of ours."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except AirworthyError as error:
        console.report(error)
        sys.exit(error.exit_code)
    except (psycopg.OperationalError, OSError) as error:
        console.report(_explain(error))
        sys.exit(1)


def _explain(error: Exception) -> AirworthyError:
    if isinstance(error, psycopg.errors.DiskFull):
        where = "The warehouse's disk is full"
    elif isinstance(error, OSError) and error.errno == errno.ENOSPC:
        where = "The disk is full"
    else:
        return AirworthyError(
            f"{type(error).__name__}: {str(error).strip()}",
            kept="Every finished step stays; the one under way was rolled back.",
            todo="Run the same command again; see runbooks/warehouse-does-not-start.md.",
        )
    return AirworthyError(
        f"{where}: {str(error).strip()}",
        kept="Every finished step stays; the one under way was rolled back.",
        todo="Free some space, then run the same command again; see runbooks/disk-full.md.",
    )
