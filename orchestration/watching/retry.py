"""One more try, before anybody is called: what arrived and was published by nobody.

A runner tries each step again by itself, a few times within minutes. What came to nothing even so
(a server was away for longer, a machine went down, an event was lost) would wait for the next
delivery. So whoever watches asks for one more run; for the same deliveries never for a second one.
"""

from __future__ import annotations

from datetime import timedelta

from orchestration import console, database
from orchestration.settings import Settings

# Three times as long as a runner ever waits between two tries.
_IDLE = timedelta(minutes=15)
_CLAIM = """
    with waiting as (
        select * from ops.unattended where idle_since < clock_timestamp() - %(idle)s
    ),
    claimed as (
        insert into ops.retries (delivery_id, asked_by)
        select delivery_id, %(who)s from waiting
        on conflict do nothing
        returning delivery_id
    )
    select since, sources from waiting inner join claimed using (delivery_id)
"""


def claim(settings: Settings, connection: database.Connection) -> list[str]:
    """Sources whose deliveries wait for one more try, which the caller has to start; often none.

    Whatever becomes of that try, nobody is handed the same deliveries again.
    """
    if database.is_held(connection, "run") or database.is_held(connection, "chunk"):
        return []
    row = connection.execute(_CLAIM, {"who": settings.requested_by, "idle": _IDLE}).fetchone()
    if row is None:
        return []
    since, sources = row
    console.say(
        "retry",
        f"{', '.join(sources)}: arrived by {since:%Y-%m-%d %H:%M} and published by nobody;"
        " one more run, the last by itself",
    )
    return list(sources)
