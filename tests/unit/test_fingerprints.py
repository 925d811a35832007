from __future__ import annotations

import pytest

from orchestration.planning.fingerprints import Fingerprint
from orchestration.planning.macros import normalised

MODEL = """
with flights as (  -- who flies
    select * from {{ ref('fct_flights') }}
)
select count(*) as flight_{{ kind }}, 'it''s -- no comment' as note from flights
"""


@pytest.mark.parametrize(
    "same",
    [
        MODEL.replace("  -- who flies", ""),
        MODEL.replace("\n", "\n\n    "),
        MODEL.replace("{{ ref('fct_flights') }}", "{{ref( 'fct_flights' )}}"),
        MODEL + "{# nobody's\n business #}",
        MODEL.replace("select *", "select /* all\n of it */ *"),
        MODEL.replace("select", "SELECT"),
    ],
)
def test_comments_and_white_space_count_for_nothing(same: str) -> None:
    assert same != MODEL
    assert normalised(same) == normalised(MODEL)


@pytest.mark.parametrize(
    "other",
    [
        MODEL.replace("count(*)", "count(1)"),
        MODEL.replace("no comment", "no  comment"),
        MODEL.replace("'fct_flights'", "'fct_flight'"),
        MODEL.replace("flight_{{", "flight_ {{"),
        MODEL.replace("fct_flights", "FCT_FLIGHTS"),
        MODEL + "limit 1",
    ],
)
def test_everything_else_counts(other: str) -> None:
    assert other != MODEL
    assert normalised(other) != normalised(MODEL)


def test_text_that_is_no_sql_counts_character_by_character() -> None:
    assert normalised("it's {{ x }}") != normalised("it's  {{ x }}")


def test_a_difference_names_its_own_cause_before_what_came_from_above() -> None:
    before = Fingerprint("1", {"its SQL": "a", "macro m": "a", "upstream x": "a"})
    assert (
        Fingerprint("2", {**before.parts, "macro m": "b"}).difference(before) == "macro m changed"
    )
    both = {**before.parts, "its SQL": "b", "upstream x": "b"}
    assert Fingerprint("2", both).difference(before) == "its SQL changed"
    above = {**before.parts, "upstream x": "b"}
    assert Fingerprint("2", above).difference(before) == "x changed"
    assert Fingerprint("2", above).difference(None) == "it is new"
