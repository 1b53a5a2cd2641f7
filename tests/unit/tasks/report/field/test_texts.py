"""Test the texts of the field page: every one that is used is there, and none is there that nothing uses."""

import re
from importlib.resources import files
from string import Formatter

import pytest

from tasks.decide.decisions import CHECK_REASONS
from tasks.report import field, templates, words
from tasks.report.field.texts import LEFT_OUT, TEXTS, decision_name, left_out_name, likely_text, text
from tasks.report.page_files import SCRIPTS, TEMPLATES

USED = re.compile(r"""\b(?:text|say)\(\s*["'`]([a-z-]+(?:\.[a-z-]+)*)["'`]""")
CHOSEN = re.compile(r"""["'`]([a-z-]+(?:\.[a-z-]+)+)["'`]""")  # keys that stand apart from the call, as in a condition
PARTS = ("decision.", "meaning.", "outside.", "reason.", "list.", "sort.", "sheet.")  # keys that end in a word of data


def sources() -> str:
    pages = [files(templates) / name for name in (*TEMPLATES, *SCRIPTS)]
    modules = [one for one in files(field).iterdir() if one.name.endswith(".py") and one.name != "texts.py"]
    own = "def text(" + (files(field) / "texts.py").read_text(encoding="utf-8").split("def text(")[1]
    return "\n".join([*(one.read_text(encoding="utf-8") for one in (*pages, *modules)), own])


def test_every_text_that_is_used_is_there() -> None:
    assert set(USED.findall(sources())) - set(TEXTS) == set()


def test_every_text_is_used() -> None:
    said = sources()
    used = {*USED.findall(said), *CHOSEN.findall(said)}
    rest = {key.removesuffix(".one") for key in TEXTS} - used
    assert {key for key in rest if not key.startswith(PARTS)} == set()


@pytest.mark.parametrize("key", [key for key in TEXTS if key.endswith(".one")])
def test_a_text_for_one_has_one_for_many_with_the_same_places(key: str) -> None:
    one, many = (
        {name for _, name, _, _ in Formatter().parse(TEXTS[each]) if name} for each in (key, key.removesuffix(".one"))
    )
    assert one == many


def test_every_reason_has_words() -> None:
    assert {f"reason.{word}" for word in CHECK_REASONS} <= set(TEXTS)
    assert {f"outside.{word}" for word in (*words.DRIFT_WORDS, "share")} <= set(TEXTS)
    assert set(LEFT_OUT) == set(words.REASONS)
    assert left_out_name("harvested") == "harvested already" and left_out_name("strange_word") == "strange word"


def test_numbers_and_plurals() -> None:
    assert text("lead.harvest", n=1) == "1 plant to harvest"
    assert text("lead.harvest", n=12345) == "12,345 plants to harvest"
    assert decision_name("harvest") == "harvest" and decision_name("black_rot") == "black rot"


@pytest.mark.parametrize(
    ("share", "said"), [(1, "over 99 %"), (0.995, "over 99 %"), (0.994, "99 %"), (0.685, "69 %"), (0.004, "under 1 %")]
)
def test_nothing_is_said_to_be_certain(share: float, said: str) -> None:
    assert likely_text(share) == said
