"""When a failed task is tried again, and when that would be no use."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

from orchestration import errors

_FIRST_SECONDS = 5.0
_LONGEST_SECONDS = 300.0


class Backoff(RetryPolicy):
    """Longer from try to try, by chance between half and all of it: runs do not march in step."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Any = None
    ) -> RetryDecision:
        del max_tries, context
        if isinstance(exception, errors.LASTING):
            return RetryDecision.fail("it stays so until somebody mends it")
        longest = min(_FIRST_SECONDS * 2 ** (try_number - 1), _LONGEST_SECONDS)
        return RetryDecision.retry(timedelta(seconds=random.uniform(longest / 2, longest)))  # noqa: S311


# The policy is asked by the task's own process. One that was killed is tried again by the
# scheduler, which knows only the plain settings.
RETRIES: dict[str, Any] = {
    "retries": 4,
    "retry_policy": Backoff(),
    "retry_delay": timedelta(seconds=_FIRST_SECONDS),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(seconds=_LONGEST_SECONDS),
}
