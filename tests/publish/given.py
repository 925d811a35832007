"""What stands in the way of a publication."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.checkout import Checkout


@contextmanager
def spoiled(made: Checkout) -> Iterator[None]:
    """Whatever is published of fct_readings is changed on the way."""
    made.execute(
        "create function public.spoil() returns trigger language plpgsql as"
        " $$ begin new.observer := 'nobody'; return new; end $$;"
        "create trigger spoil before insert on published.fct_readings"
        " for each row execute function public.spoil()"
    )
    yield
    made.execute("drop trigger spoil on published.fct_readings")
