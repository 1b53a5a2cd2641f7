"""Test the promise curve and promised against observed: their numbers are those of the tables."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from storage.tables import CALIBRATION, PROMISES
from storage.tables.names import SCORES
from tasks.report.method.promises import calibration_table, promise_curves
from tasks.report.score_figures import LINES, PRODUCT_LINE, promise_figure
from tests.support.report_campaign import DAYS, FakeCampaign, table_rows
from tests.support.report_pages import Page, shares

NAMES = ["decided answers", *(name for name, _ in SCORES.values())]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> FakeCampaign:
    return FakeCampaign(tmp_path_factory.mktemp("store"), promise="each")


@pytest.fixture(scope="module")
def html(campaign: FakeCampaign) -> str:
    return campaign.page()


def test_curves_are_of_all_answers_with_the_products_first_and_tolerances_in_order() -> None:
    rows: list[Any] = [
        {"score": score, "answers": answers, "tolerated_error": tolerated, "share_answered": share}
        for score, answers, tolerated, share in (
            ("softmax", "all", 0.1, 0.2),
            ("answer_reliability", "ready", 0.1, 0.9),
            ("answer_reliability", "all", 0.3, 0.8),
            ("answer_reliability", "all", 0.1, 0.4),
        )
    ]
    found = promise_curves(rows)
    assert list(found.items()) == [
        ("decided answers", ([0.1, 0.3], [0.4, 0.8])),
        ("probability", ([0.1], [0.2])),
    ]
    assert promise_curves([]) == {}


def test_the_curve_has_every_score_of_the_table(campaign: FakeCampaign) -> None:
    rows = table_rows(campaign, "promises gradcam", PROMISES)
    found = promise_curves(rows)
    assert list(found) == NAMES
    for score, curve in zip(("answer_reliability", *SCORES), found.values(), strict=True):
        stated = {
            row["tolerated_error"]: row["share_answered"]
            for row in rows
            if row["score"] == score and row["answers"] == "all"
        }
        assert dict(zip(*curve, strict=True)) == stated and curve[0] == sorted(stated)


def test_the_page_shows_the_curve_and_how_to_choose_by_it(campaign: FakeCampaign, html: str) -> None:
    report = campaign.store.open(campaign.report())
    assert "promise-curve-gradcam.png" in report.manifest.files
    (caption,) = re.findall(r"<figcaption>(What can be promised.*?)</figcaption>", html)
    assert "Choose the smallest tolerance at which enough plants are answered" in caption
    assert "<code>harvest report field2-2021 --tolerated-error</code>" in caption  # as code, not as its source


def test_a_larger_share_is_drawn_higher() -> None:
    tolerated = [0.05, 0.1, 0.2, 0.3]
    high, low = (opened(promise_figure({"a": (tolerated, [share] * 4)}, 0.9)) for share in (0.9, 0.1))
    assert high.shape == low.shape
    changed = np.abs(high - low).max(axis=-1) > 40
    drawn = [np.argwhere(changed & is_line(shown))[:, 0].mean() for shown in (high, low)]
    assert drawn[0] < drawn[1] - 200


def opened(picture: bytes) -> Any:
    with Image.open(io.BytesIO(picture)) as image:
        return np.asarray(image.convert("RGB"), np.int64)


def is_line(shown: Any, colour: str = PRODUCT_LINE[0]) -> Any:
    """Return which pixels have a colour, by default that of the first curve."""
    return np.abs(shown - 255 * np.asarray(to_rgb(colour))).max(axis=-1) <= 2


def test_every_curve_looks_different() -> None:
    tolerated = [0.05, 0.1, 0.2, 0.3]
    curves = {f"score {i}": (tolerated, [0.1 + 0.1 * i] * 4) for i in range(8)}
    shown = opened(promise_figure(curves, 0.9))
    colours = [PRODUCT_LINE[0], *(colour for colour, _, _ in LINES)]
    assert len(set(colours)) == 8 and all(is_line(shown, colour).sum() > 100 for colour in colours)


def test_promised_against_observed_is_that_of_the_table(campaign: FakeCampaign, html: str) -> None:
    rows = table_rows(campaign, "calibration gradcam", CALIBRATION)
    stated = {(*named(row), row["is_acted_on"]): row for row in rows}
    _, _, *shown = Page(html).tables["calibration"]
    assert len(shown) == sum(not row["is_acted_on"] for row in rows)
    assert {cells[1] for cells in shown} == {"all dates", *DAYS}
    assert {cells[2] for cells in shown} == {"all", "not ready", "ready"}
    for cells in shown:
        for is_acted_on, (n, promised, observed) in zip((False, True), (cells[3:6], cells[6:9]), strict=True):
            row = stated.get((cells[0], cells[1], cells[2], is_acted_on))
            if row is None:
                assert is_acted_on and (n, promised, observed) == ("0", "–", "–")
                continue
            assert int(n) == row["n"] and shares(promised) == pytest.approx([row["promised"]], abs=5.1e-4)
            ends = [row[f"observed{end}"] for end in ("", "_lower", "_upper")]
            assert shares(observed) == pytest.approx(ends, abs=5.1e-4)


def named(row: dict[str, Any]) -> tuple[str, str, str]:
    """Return the words of a row's split, date and answers."""
    split = {"val": "validation", "test": "test"}[row["split"]]
    return split, str(row["acquired"] or "all dates"), row["answers"].replace("_", " ")


def test_answers_that_are_never_acted_on_have_no_figures_beside_them() -> None:
    row = {"split": "test", "acquired": None, "answers": "not_ready", "is_acted_on": False, "n": 3}
    (found,) = calibration_table([row])
    assert (found["date"], found["answers"], found["acted_on"]) == ("all dates", "not ready", None)
    assert found["all"] == row and not found["is_cross_fitted"]


def test_each_class_has_its_promise_on_the_page(campaign: FakeCampaign, html: str) -> None:
    used = [row for row in table_rows(campaign, "promises gradcam", PROMISES) if row["is_used"]]
    assert [row["answers"] for row in used] == ["not_ready", "ready"]
    for row in used:
        name = row["answers"].replace("_", " ")
        said = f"At least 85 of 100 answers “{name}” acted on are right, by {row['n_plants']} validation plants"
        assert html.count(said) == 1


def test_without_a_promise_every_plant_is_to_be_checked_and_the_page_says_what_is_lacking(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, n_plants=24, is_promised=False)
    html, field = campaign.page(), campaign.field_page()
    assert ">0 plants to harvest<" in field and '<dd class="count">16</dd>' in field
    assert "About 37 more checked validation plants would show it" in field
    assert "No answer can be acted on yet" in html and "About 37 more checked validation plants would" in html
    assert "At least 85 of 100" not in html and "promise-curve-gradcam.png" in str(
        campaign.store.open(campaign.report()).manifest.files
    )
