"""Every error that a user can meet, and the exit code it ends with.

    AirworthyError            1   anything not listed below
    ├── StepFailed            1   a step met an error that is not one of these
    ├── StepTimedOut          1   a step took too long; its process was ended
    ├── BuildFailed           1   a model, seed or test failed
    ├── PublishingHeld        1   somebody rolled back and nobody has resumed
    ├── StaleRun              1   a newer run was planned, or a publication came in between
    ├── BackfillStopped       1   paused, cancelled, other code than planned, or chunks are left
    ├── UsageError            2   a setting, argument, contract or suite is wrong
    ├── GateBlocked           3   the verdict is not a pass; nothing was published
    ├── DeliveryRejected      4   at least one landed file was rejected; it is kept
    └── WarehouseBusy        75   another run is active; try again later

A message says what happened, what was kept, and what to do next.
"""


class AirworthyError(Exception):
    """What happened (`str(error)`), what was kept and what to do next.

    Args:
        what: one sentence on what happened.
        kept: what the failed step left behind.
        todo: the next command or change; names a runbook where there is one.
    """

    exit_code = 1

    def __init__(self, what: str, *, kept: str = "", todo: str = "") -> None:
        super().__init__(what)
        self.kept = kept
        self.todo = todo


class StepFailed(AirworthyError):
    """What went wrong in a step's own process, in words."""


class StepTimedOut(AirworthyError):
    """As long as nothing else changes, the next try would take as long."""


class BuildFailed(AirworthyError):
    """dbt ran; the gate judges the evidence that it left."""


class UsageError(AirworthyError):
    exit_code = 2


class PublishingHeld(AirworthyError):
    """The run passed; a hold keeps it from being published."""


class StaleRun(AirworthyError):
    """Whatever this run still does comes too late; a new one has to be planned."""


class BackfillStopped(AirworthyError):
    """What the backfill published stays; the rest is not built."""


class GateBlocked(AirworthyError):
    exit_code = 3


class DeliveryRejected(AirworthyError):
    exit_code = 4


class WarehouseBusy(AirworthyError):
    exit_code = 75


# They stay as they are until somebody mends a file, a model or a setting.
LASTING = (
    BackfillStopped, BuildFailed, DeliveryRejected, GateBlocked, PublishingHeld, StaleRun,
    StepTimedOut, UsageError,
)  # fmt: skip
