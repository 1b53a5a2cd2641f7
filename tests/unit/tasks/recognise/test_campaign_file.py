"""Values of any text come back from the file that is written, and comments cannot become keys."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tasks.recognise.campaign_file import QUESTION, WIDTH, find_questions, write_campaign
from tasks.recognise.keys import Key, content_of

# Names of files: any text in UTF-8, with quotation marks, backslashes, line ends and other controls.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    ['a"b', "a'b", "a\\b", "Möhren Süd", "a\nb = 1", "#", "\x7f", "{date}", "]", " "]
)
NUMBERS = st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = TEXTS | NUMBERS | st.lists(TEXTS, max_size=3)


@given(st.lists(st.tuples(st.sampled_from(["", "source", "source.plants"]), VALUES, TEXTS, st.booleans()), max_size=6))
def test_any_value_comes_back_and_comments_stay_comments(rows: list[tuple[str, Any, str, bool]]) -> None:
    order = sorted(rows, key=lambda row: row[0])
    keys = [
        Key(table, f"key_{i}", value, why, is_question=i % 2 == 0, is_open=is_open, others=((value, why),))
        for i, (table, value, why, is_open) in enumerate(order)
    ]
    expected: dict[str, Any] = {}
    for key in keys:
        if not key.is_open:
            place = expected
            for part in key.table.split(".") if key.table else []:
                place = place.setdefault(part, {})
            place[key.name] = key.value
    read = tomllib.loads(write_campaign([row[2] for row in order], keys))
    assert without_empty(read) == expected == content_of(keys)


def without_empty(tables: dict[str, Any]) -> dict[str, Any]:
    """Leave out tables that hold nothing."""
    kept = {name: without_empty(one) if isinstance(one, dict) else one for name, one in tables.items()}
    return {name: one for name, one in kept.items() if one != {}}


def test_the_text_of_a_small_file() -> None:
    keys = [
        Key("", "dates", ["2024-06-03"], "Dates in the paths."),
        Key("source", "rasters", "a_{date}.tif", "Fits one file.", others=(("b_{date}.tif", "Fits too."),)),
        Key("source", "bands", [1, 2, 3], "Which bands?", is_question=True),
        Key("source.harvest_table", "path", "harvest.csv", "Which table?", is_open=True),
        Key("source.harvest_table", "plant_column", "plant_id", "Which column?", is_open=True),
    ]
    assert write_campaign(["Head."], keys).splitlines() == [
        "# Head.",
        "",
        "# Dates in the paths.",
        'dates = ["2024-06-03"]',
        "",
        "[source]",
        "# Fits one file.",
        'rasters = "a_{date}.tif"',
        '# rasters = "b_{date}.tif"',
        "#     Fits too.",
        "# ? Which bands?",
        "bands = [1, 2, 3]",
        "",
        "# ? Which table?",
        "# [source.harvest_table]",
        '# path = "harvest.csv"',
        "# Which column?",
        '# plant_column = "plant_id"',
    ]


def test_long_comments_are_wrapped_and_stay_in_the_question() -> None:
    lines = write_campaign([], [Key("", "a", 1, "word " * 60, is_question=True)]).splitlines()
    assert lines[1].startswith(QUESTION) and len(lines) == 5
    assert find_questions("\n".join(lines)) == [(2, " ".join(["word"] * 60))]
    assert all(line.startswith("#   ") for line in lines[2:4]) and max(map(len, lines)) <= WIDTH
