"""Test pictures of saliency maps: evidence for and against the class is visible, and sizes fit."""

import io
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image

from tasks.report.figures import COLOURS, OPACITY, confusion_figure, overlay_image, prototype_figure
from tasks.report.score_figures import LINES, calibration_figure, method_figure, risk_coverage_figure
from tasks.statistics.detection import CalibrationRow

GREY = np.full((96, 96, 3), 90, np.uint8)


def opened(picture: bytes) -> NDArray[np.int64]:
    with Image.open(io.BytesIO(picture)) as image:
        return np.asarray(image.convert("RGB"), np.int64)


def halves(left: float, right: float) -> NDArray[np.float32]:
    """Make a map of 2 x 6 samples whose left and right thirds have these values and whose middle is zero."""
    return np.repeat(np.asarray([[left, left, 0, 0, right, right]], np.float32), 2, axis=0)


def test_for_is_red_against_is_blue_and_nothing_is_nothing() -> None:
    shown = opened(overlay_image(GREY, halves(-1, 1), is_signed=True))
    blue, plain, red = shown[48, 8], shown[48, 48], shown[48, 88]
    assert blue[2] > blue[0] + 30 and red[0] > red[2] + 30
    assert np.abs(plain - 90).max() <= 3


def test_weak_evidence_is_more_transparent_than_strong_evidence() -> None:
    shown = opened(overlay_image(GREY, halves(-0.25, 1), is_signed=True))
    # Full strength at the far side; a quarter of it is a quarter as opaque on the near one.
    against, along = matplotlib.colormaps["RdBu_r"]([0.375, 1.0])[:, :3] * 255
    assert np.abs(shown[48, 8] - (90 + 0.25 * OPACITY * (against - 90))).max() <= 3
    assert np.abs(shown[48, 88] - (90 + OPACITY * (along - 90))).max() <= 3


def test_signs_swap_the_colours_only() -> None:
    one, other = (opened(overlay_image(GREY, halves(*values), is_signed=True)) for values in ((-1, 1), (1, -1)))
    assert np.abs(one - other[:, ::-1]).mean() < 1  # what JPEG makes of the edges


@pytest.mark.parametrize(("rows", "cols"), [(8, 8), (123, 123), (96, 96), (5, 9), (1, 1)])
def test_an_overlay_is_the_map_upsampled_as_torch_does(rows: int, cols: int) -> None:
    smooth = np.sin(np.linspace(0.2, 2, rows))[:, None] * np.cos(np.linspace(-1, 1.4, cols))
    saliency = (smooth / smooth.max()).astype(np.float32)
    tensor = torch.from_numpy(saliency)[None, None]
    strength = torch.nn.functional.interpolate(tensor, size=(96, 96), mode="bilinear", align_corners=False)[0, 0]
    opacity = OPACITY * strength.numpy()[..., None]
    expected = 90 * (1 - opacity) + 255 * matplotlib.colormaps["inferno"](strength.numpy())[..., :3] * opacity
    difference = np.abs(opened(overlay_image(GREY, saliency)) - expected)
    assert difference.mean() < 4  # what JPEG changes


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (1024, 1024)])
def test_large_images_become_thumbnails(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 90, np.uint8)
    shown = opened(overlay_image(image, np.zeros((8, 8), np.float32)))
    assert shown.shape == (192, 192, 3)
    assert np.abs(shown - 90).max() <= 1  # nothing laid over


def test_a_map_is_shown_on_its_own_scale() -> None:
    weak, strong = (overlay_image(GREY, halves(0, value)) for value in (0.001, 1000))
    assert weak == strong


@pytest.mark.parametrize("value", [-1.0, -1e-6])
def test_values_below_zero_are_never_cut_off_in_silence(value: float) -> None:
    with pytest.raises(ValueError, match="below zero"):
        overlay_image(GREY, halves(value, 1))
    with pytest.raises(ValueError, match="below zero"):
        prototype_figure(halves(value, 1)[None], [])


def count_of(shown: NDArray[np.int64], colour: tuple[float, ...]) -> int:
    """Count the pixels of a picture with this colour, which is given in 0..1."""
    return int((np.abs(shown - 255 * np.asarray(colour[:3])).max(axis=-1) <= 2).sum())


def constant(*values: float) -> NDArray[np.float32]:
    return np.stack([np.full((4, 4), value, np.float32) for value in values])


def test_signed_prototypes_share_a_scale_that_is_white_at_zero() -> None:
    shown = opened(prototype_figure(constant(1, 0, -0.5), [], is_signed=True))
    colours = matplotlib.colormaps["RdBu_r"]
    panel = count_of(shown, colours(1.0))
    assert panel > 30_000
    # Half as strong on the other side: not the end of the scale, as it were if limits were taken from the values.
    assert count_of(shown, colours(0.25)) > 0.9 * panel and count_of(shown, colours(0.5)) > 0.9 * panel
    assert count_of(shown, colours(0.0)) < 0.1 * panel


def test_prototypes_without_negative_values_start_at_zero() -> None:
    shown = opened(prototype_figure(constant(2, 0, 1), []))
    colours = matplotlib.colormaps["inferno"]
    panel = count_of(shown, colours(1.0))
    assert panel > 30_000
    assert count_of(shown, colours(0.0)) > 0.9 * panel and count_of(shown, colours(0.5)) > 0.9 * panel


@pytest.mark.parametrize("shape", [(8, 8), (123, 123), (256, 256), (8, 4), (300, 100)])
def test_prototypes_of_any_resolution_keep_their_proportions(shape: tuple[int, int]) -> None:
    shown = opened(prototype_figure(np.full((1, *shape), 1.0), []))
    brightest = 255 * np.asarray(matplotlib.colormaps["inferno"](1.0)[:3])
    panel = np.abs(shown - brightest).max(axis=-1) <= 2
    rows, cols = (int(np.median(places)) for places in np.nonzero(panel))  # its middle; the bar of colours is small
    height = panel[:, cols].sum()
    width = panel[rows].sum()
    assert height / width == pytest.approx(shape[0] / shape[1], rel=0.03)


def test_no_prototypes_are_an_empty_figure() -> None:
    assert opened(prototype_figure(np.zeros((0, 8, 8)), [])).min() == 255


def confusion(split: str, state: str) -> dict[str, Any]:
    return {"split": split, "state": state, "n": 4, "is_in_sample": False, "confusion": [4, 0, 0, 4]}


def test_confusion_matrices_have_a_line_a_split() -> None:
    two = [confusion("test", state) for state in ("before", "after")]
    three = [confusion("val", state) for state in ("before", "after", "cross-fitted")]
    one_line, lines = (opened(confusion_figure(rows, ["a", "b"])) for rows in (two, three + two))
    assert lines.shape[0] == 2 * one_line.shape[0] and lines.shape[1] * 2 == one_line.shape[1] * 3
    corner = lines[lines.shape[0] // 2 + 20 :, 2 * lines.shape[1] // 3 + 20 :]
    assert corner.min() == 255  # no third state of the second split
    full = matplotlib.colormaps["Blues"](1.0)
    assert count_of(lines, full) == pytest.approx(5 / 2 * count_of(one_line, full), rel=0.1)


def rgb(colour: str) -> tuple[float, ...]:
    return to_rgb(colour)


def test_every_score_has_its_own_colour_and_pattern() -> None:
    assert len({colour for colour, _, _ in LINES}) == len({str(pattern) for _, pattern, _ in LINES}) == len(LINES) == 7
    coverage = np.linspace(0.1, 1, 10)
    curves = {f"score {i}": (coverage, coverage * (i + 1) / 10) for i in range(7)}
    shown = opened(risk_coverage_figure(curves, "unseen"))
    assert all(count_of(shown, rgb(colour)) > 100 for colour, _, _ in LINES)


def places(shown: NDArray[np.int64], colour: str) -> NDArray[np.int64]:
    """Return rows and columns of the pixels with a colour, (n, 2)."""
    return np.argwhere(np.abs(shown - 255 * np.asarray(rgb(colour))).max(axis=-1) <= 2)


def test_more_risk_is_drawn_higher() -> None:
    coverage = np.linspace(0.01, 1, 100)
    curves = {name: (coverage, np.full(100, risk)) for name, risk in (("bad", 0.8), ("good", 0.2))}
    shown = opened(risk_coverage_figure(curves, ""))
    panel = shown[:, : shown.shape[1] // 2]  # without the legend
    bad, good = (np.median(places(panel, colour)[:, 0]) for colour, _, _ in LINES[:2])
    assert bad < good - 200


def test_a_bin_with_more_images_is_a_larger_point() -> None:
    few, many = CalibrationRow(0.2, 0.2, 1, 0.2, 0.2), CalibrationRow(0.8, 0.8, 50, 0.8, 0.8)
    blank, shown = opened(calibration_figure({"a": []}, "")), opened(calibration_figure({"a": [few, many]}, ""))
    assert blank.shape == shown.shape
    changed = np.argwhere(np.abs(shown - blank).max(axis=-1) > 40)
    left, right = (changed[(changed[:, 1] > near) & (changed[:, 1] < near + 60)] for near in edges(changed))
    assert len(right) > 3 * len(left)
    assert right[:, 0].mean() < left[:, 0].mean()  # more were right


def edges(changed: NDArray[np.int64]) -> tuple[float, float]:
    """Return where the leftmost and the rightmost 60 changed columns begin."""
    columns = changed[:, 1]
    return float(columns.min()) - 1, float(columns.max()) - 59


def test_figures_of_scores_without_anything_are_drawn() -> None:
    for picture in (risk_coverage_figure({}, ""), calibration_figure({}, "")):
        assert opened(picture).size > 0


@pytest.mark.parametrize("splits", [("validation",), ("validation", "test"), ("validation", "test", "new")])
def test_clusters_and_prototypes_of_a_method_are_one_picture(splits: tuple[str, ...]) -> None:
    counts = {split: {1: {"TP": 3, "FN": 1}, 2: {"TN": 2}} for split in splits}
    low, high = (
        opened(method_figure(counts, [2], constant(1, 0.5), False, dict.fromkeys(splits, tallest)))
        for tallest in (4, 8)
    )
    inferno = matplotlib.colormaps["inferno"]
    assert count_of(low, inferno(1.0)) > 5_000 and count_of(low, inferno(0.5)) > 5_000
    bars = [count_of(shown, rgb(COLOURS["TP"])) for shown in (low, high)]
    assert bars[1] == pytest.approx(bars[0] / 2, rel=0.15)  # half as high on an axis twice as long
    assert (low[:, :2] == 255).all() and (low[:, -2:] == 255).all()  # nothing, as a legend, is cut off


def test_equal_numbers_are_equal_pictures() -> None:
    bins = {"a": [CalibrationRow(0.2, 0.4, 9, 0.3, 0.5)]}
    assert calibration_figure(bins, "x") == calibration_figure(bins, "x")
