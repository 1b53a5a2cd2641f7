"""Test the page and figure of an audit: they are complete, valid, and mark what uses ground truth."""

import io
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.audit.page import audit_figure, largest_gain, render_audit, verdicts

HOSTILE = "<script>alert('x')</script>&$\\frac{1}{0}$"


def audited(split: str, choice: str, **more: Any) -> dict[str, Any]:
    """Make a row of the table `audit`."""
    marks = {"method": "gradcam", "explained_class": choice, "classifier": "c0", "clusters": "k0", "split": split}
    shares = {"accuracy_before": 0.7, "accuracy_after": 0.7, "accuracy_crossfitted": None, "auroc": 0.5}
    chance = {"largest_error_share": None, "largest_error_share_p": None, "heterogeneity_p": None}
    return {**marks, "n": 100, **shares, "label_probe": 0.6, **chance, **more}


CHANCE = {"largest_error_share": 0.6, "largest_error_share_p": 0.2, "heterogeneity_p": 0.3}
ROWS = (
    audited("val", "predicted", accuracy_crossfitted=0.65, **CHANCE),
    audited("test", "predicted"),
    audited("val", "label", accuracy_after=0.81, accuracy_crossfitted=0.8, label_probe=0.97, **CHANCE),
    audited("test", "label", accuracy_after=0.785, label_probe=0.95, auroc=None),
)


def unclosed(page: str) -> list[str]:
    """List elements that are not closed, or closed in another order."""
    wrong: list[str] = []

    class Parser(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in ("meta", "link", "img"):
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            if not self.open or self.open.pop() != tag:
                wrong.append(tag)

    parser = Parser()
    parser.feed(page)
    return wrong + parser.open


def page(rows: Any = ROWS, left_out: dict[str, int] | None = None, problems: tuple[str, ...] = ()) -> str:
    return render_audit("field2-2021", list(rows), audit_figure(list(rows)), left_out or {}, problems)


def test_every_number_of_the_table_is_on_it() -> None:
    (body,) = re.findall(r'<table id="audit">.*?<tbody>(.*?)</tbody>', page(), re.DOTALL)
    rows = [cells(row) for row in re.findall("<tr.*?</tr>", body, re.DOTALL)]
    shares = ["70.0 %", "70.0 %", "65.0 %", "0.500", "0.600", "60.0 %", "0.2000", "0.3000"]
    assert rows[0] == ["predicted", "Grad-CAM", "validation", "100", *shares]
    assert rows[3] == ["label", "Grad-CAM", "test", "100", "70.0 %", "78.5 %", "–", "–", "0.950", "–", "–", "–"]
    assert rows[2][0].startswith("label uses ground truth") and rows[2][5] == "81.0 %"


def cells(row: str) -> list[str]:
    texts = [re.sub(r"<[^>]+>", " ", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)]
    return [" ".join(text.split()) for text in texts]


def test_label_is_marked_wherever_it_stands() -> None:
    html = page()
    assert 'id="banner"' in html and html.count('class="group leak"') + html.count('class="leak"') == 2
    assert html.count("number bad") == 2  # the two probes above 0.9
    assert "largest gain on unseen images is +8.5 percentage points" in html and "and +0.0 with" in html


def test_it_explains_without_label_too() -> None:
    html = page(ROWS[:2], problems=(f"label, gradcam: {HOSTILE}.",))
    assert "Why <code>label</code> may not be used" in html and "largest gain" not in html
    assert "Without rows" in html and "<script>" not in html


def test_what_label_leaves_out_is_said() -> None:
    assert "5 new, 2 test. No row counts them." in re.sub(r"\s+", " ", page(left_out={"new": 5, "test": 2}))
    assert "Every explained image has a label." in page()


def test_hostile_names_are_text() -> None:
    html = page([{**row, "explained_class": HOSTILE} for row in ROWS[:2]])
    assert "<script>" not in html and "&lt;script&gt;" in html


@pytest.mark.parametrize("n_rows", [0, 1, 4])
def test_it_is_one_page_of_closed_elements_that_loads_nothing(n_rows: int) -> None:
    html = page(ROWS[:n_rows])
    assert unclosed(html) == []
    assert set(re.findall(r'(?:src|href)="([a-z]+:)', html)) == {"data:"}
    assert "http" not in re.sub(r'"data:[^"]*"', "", html)


def test_equal_rows_are_equal_bytes() -> None:
    assert page() == page()


def test_verdicts_name_the_leak_only_where_it_is() -> None:
    predicted, label = verdicts(ROWS)
    assert predicted == (
        "Grad-CAM, explained class predicted: adjustment claims 70.0\u00a0% → 70.0\u00a0% on validation images, "
        "70.0\u00a0% → 70.0\u00a0% on test images."
    )
    assert "None of it holds for images whose class is not known." in label and "AUROC of 0.970" in label
    assert verdicts([]) == []


def test_the_largest_gain_is_that_on_unseen_images() -> None:
    assert largest_gain(ROWS, "label") == pytest.approx(0.085)
    assert largest_gain(ROWS[:1], "predicted") is None


@pytest.mark.parametrize("n_methods", [1, 2])
def test_a_line_of_panels_a_method(n_methods: int) -> None:
    methods = ("gradcam", "occlusion")[:n_methods]
    rows = [{**row, "method": method} for method in methods for row in ROWS]
    with Image.open(io.BytesIO(audit_figure(rows))) as picture:
        assert picture.format == "PNG" and picture.height > 300 * n_methods


def test_only_label_stands_on_tinted_ground() -> None:
    def tinted(rows: Any) -> int:
        with Image.open(io.BytesIO(audit_figure(list(rows)))) as picture:
            pixels = np.asarray(picture.convert("RGB"), np.int64)
        return int((np.abs(pixels - [250, 234, 222]).max(axis=2) <= 3).sum())

    assert tinted(ROWS) > 5000 and tinted(ROWS[:2]) == 0


def test_nothing_to_draw_and_formulas_in_names() -> None:
    for rows in ([], [{**ROWS[0], "explained_class": "$\\frac{1}{0}$"}]):
        assert audit_figure(rows).startswith(b"\x89PNG")
