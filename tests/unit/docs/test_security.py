"""Every attack in the table of docs/security.md is tried by a test that exists."""

import re

import pytest

from tests.support.markdown import text_of
from tests.support.repository import ROOT

ROWS = re.findall(r"^\| (.+) \| (.+) \| (.+) \|$", text_of("docs/security.md"), re.MULTILINE)[1:]


def test_the_table_has_its_rows() -> None:
    assert len(ROWS) > 20
    assert all(attack and outcome for attack, outcome, _ in ROWS)


@pytest.mark.parametrize("test", [row[2] for row in ROWS])
def test_the_test_of_an_attack_exists(test: str) -> None:
    if test == "same":
        return
    path, _, name = test.strip("`").partition("::")
    assert re.search(rf"^(?:    )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), test
