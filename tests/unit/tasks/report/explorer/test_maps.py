"""Test how maps and their coordinates come to the plant explorer's page."""

import base64
from typing import Any

import numpy as np

from tasks.report.explorer.maps import PlacedMaps


def read(content: Any) -> np.ndarray[Any, Any]:
    values = np.frombuffer(base64.b64decode(content["coordinates"]), "<i2").astype(float)
    return values.reshape(-1, content["n_axes"])


def test_coordinates_keep_their_distances() -> None:
    coordinates = np.random.default_rng(1).normal(size=(40, 7)).astype(np.float32)
    content = PlacedMaps(coordinates, np.zeros((40, 64), np.int8)).content()
    ours, theirs = (np.linalg.norm(one[:, None] - one, axis=2) for one in (read(content), coordinates.astype(float)))
    scale = ours.max() / theirs.max()
    assert np.abs(read(content)).max() == 32_767
    np.testing.assert_allclose(ours / scale, theirs, atol=1e-4 * theirs.max())


def test_maps_without_any_pattern_lie_at_the_origin() -> None:
    content = PlacedMaps(np.zeros((3, 2), np.float32), np.zeros((3, 64), np.int8)).content()
    assert read(content).tolist() == [[0, 0]] * 3 and content["is_signed"] is False


def test_evidence_against_makes_maps_signed() -> None:
    coarse = np.zeros((2, 64), np.int8)
    coarse[1, 5] = -3
    content = PlacedMaps(np.ones((2, 1), np.float32), coarse).content()
    assert content["is_signed"] is True and base64.b64decode(str(content["maps"])) == coarse.tobytes()
