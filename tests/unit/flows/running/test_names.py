"""Names, tags and keys of flow runs: worked by hand, hostile parameters, and no two campaigns with one key."""

import re
from datetime import date
from itertools import product
from typing import Any

import pytest

from flows.running.names import Subject, artifact_key, is_name, name_of, subject_of
from tests.support.campaigns import small_campaign

DAY, DAYS = "2021-09-06", ["2021-09-03", "2021-08-23", "2021-08-30"]
ONE_CAMPAIGN: dict[str, Any] = {"params": {"name": "years", "seasons": [{"campaign": "north", "dates": None}]}}
TWO: dict[str, Any] = {"params": {"name": "years", "seasons": [{"campaign": "north"}, {"campaign": "south"}]}}


@pytest.mark.parametrize(
    ("flow", "parameters", "name", "tags"),
    [
        (
            "analyse-campaign",
            {"params": {"campaign": "field2-2021", "dates": DAYS}},
            "field2-2021 2021-08-23..2021-09-03",
            {"campaign:field2-2021"},
        ),
        (
            "fit-and-explain",
            {"params": {"campaign": "field2", "dates": [DAY]}, "artifacts": {}},
            f"field2 {DAY}",
            {"campaign:field2", f"date:{DAY}"},
        ),
        (
            "score-acquisition",
            {"campaign": "field2", "date": date(2021, 9, 6), "fitted_by": "field1"},
            f"score field2 {DAY}",
            {"campaign:field2", f"date:{DAY}"},
        ),
        ("discover-acquisitions", {"campaign": "field2", "date": None}, "discover field2", {"campaign:field2"}),
        ("discover-acquisitions", {"campaign": "field2", "date": DAY}, f"discover field2 {DAY}", None),
        ("backfill-seasons", ONE_CAMPAIGN, "backfill years", {"campaign:north"}),
        ("backfill-seasons", TWO, "backfill years", set()),
        ("renew-campaign", {"campaign": "field2", "decide": None}, "renew field2", {"campaign:field2"}),
        ("audit-campaign", {"campaign": "field2", "params": {"seed": 1}}, "audit field2", {"campaign:field2"}),
        ("mark-broken-promise", {"campaign": "field2", "new": ["x"]}, "broken promise of field2", None),
        ("note-failure", {"name": "score field2", "state": "Failed"}, None, set()),
        ("another-flow", {"campaign": "field2"}, None, {"campaign:field2"}),
    ],
)
def test_name_and_tags(flow: str, parameters: dict[str, Any], name: str | None, tags: set[str] | None) -> None:
    assert name_of(flow, parameters) == name
    if tags is not None:
        assert subject_of(parameters).tags == tags


def test_parameters_of_a_run_in_this_process_are_models() -> None:
    params = small_campaign("small", dates=(date(2022, 8, 30), date(2022, 8, 25)))
    assert subject_of({"params": params}) == Subject("small", ("2022-08-25", "2022-08-30"))


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"campaign": None},
        {"campaign": "../etc"},
        {"campaign": "x" * 65},
        {"campaign": ["field2"]},
        {"params": "field2"},
        {"params": {"seasons": 3}},
        {"params": {"name": "../etc", "seasons": ["x"]}},
    ],
)
def test_what_is_no_campaign_gives_no_name(parameters: dict[str, Any]) -> None:
    """The sweep reads parameters that no flow has checked."""
    assert subject_of(parameters) == Subject()
    assert name_of("score-acquisition", parameters) is name_of("backfill-seasons", parameters) is None


def test_what_is_no_date_is_left_out() -> None:
    assert subject_of({"campaign": "field2", "date": "soon"}) == Subject("field2")
    assert subject_of({"campaign": "field2", "dates": 7, "date": [1]}) == Subject("field2")


def test_keys_by_hand() -> None:
    assert artifact_key("summary", "field2-2021", date(2021, 9, 6)) == "field2-2021--summary-2021-09-06"
    assert artifact_key("report", "field.2_b") == "field-2-b--du--report"
    assert artifact_key("notice", "") == "notice"


def test_no_two_campaigns_kinds_or_dates_share_a_key() -> None:
    names = ["a" + "".join(rest) for n in range(4) for rest in product("aumd-_.", repeat=n)]
    assert all(map(is_name, names))
    things = [*product(("review", "review-a", "a"), names, ("", DAY)), ("notice", "", ""), ("notice", "", DAY)]
    keys = {artifact_key(*thing) for thing in things}
    assert len(keys) == len(things)
    assert all(re.fullmatch("[a-z0-9-]+", key) for key in keys)  # Prefect's rule
