"""Labelled validation images read from their artefacts, and their maps as vectors that need not lie in memory."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from storage.arrays.specs import FEATURES, LOGITS
from storage.arrays.zarr_files import read_array
from storage.artifacts import ArtifactRef, Store
from tasks.cluster import members as module
from tasks.cluster.axes import fit_axes, isometric, map_vectors
from tasks.cluster.members import (
    DateMembers,
    MemberVectors,
    column,
    iter_maps,
    joined_answers,
    made_by,
    plants_of,
    read_members,
)
from tests.support.planted_campaign import SIZE, Planted, Shown, pattern_map, plant

DAYS = ("2021-08-20", "2021-08-23", "2021-08-25", "2021-08-30", "2021-09-03")


def gappy() -> list[list[Shown]]:
    """Dates with gaps before, between and after validation images, without any, without a map, and without an image."""
    splits = (
        ("test", "val", "new", "val", "val", "test", "test", "val", "new"),
        ("test", "new"),
        (),
        ("train", "train"),
        ("val", "train", "val", "val", "test", "val"),
    )
    return [
        [
            Shown(f"p{day}-{i}", split, None if (day, i) == (0, 3) else i % 2, 1, pattern=(i + day) % 3)
            for i, split in enumerate(of_day)
        ]
        for day, of_day in enumerate(splits)
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def dates(store: Store) -> list[Planted]:
    planted: list[Planted] = []
    for k, (day, images) in enumerate(zip(DAYS, gappy(), strict=True)):
        rows = np.random.default_rng(k).permutation(len(images)).tolist()
        planted.append(plant(store, day, images, rows=rows))
    return planted


@pytest.fixture(scope="module")
def members(store: Store, dates: list[Planted]) -> list[DateMembers]:
    return read_members(store, [d.saliency for d in dates], [d.predictions for d in dates])


def chosen_images() -> list[tuple[str, Shown]]:
    return [
        (day, image)
        for day, images in zip(DAYS, gappy(), strict=True)
        for image in images
        if image.split == "val" and image.label is not None
    ]


def test_members_are_the_labelled_validation_images_of_all_dates(members: list[DateMembers]) -> None:
    expected = chosen_images()
    assert [len(one.rows) for one in members] == [3, 0, 0, 0, 4] and [one.date for one in members] == list(DAYS)
    assert plants_of(members) == [image.plant for _, image in expected]
    assert column(members, "label") == [image.label for _, image in expected]


def test_answers_are_those_of_the_same_images(store: Store, dates: list[Planted], members: list[DateMembers]) -> None:
    answers = joined_answers(members)
    found: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    for one in dates:
        artifact = store.open(one.predictions)
        logits, features = read_array(artifact, LOGITS), read_array(artifact, FEATURES)
        where = one.table["row"]
        found += [(logits[where.index(row)], features[where.index(row)]) for row in one.members]
    assert np.array_equal(answers.logits, np.stack([logits for logits, _ in found]))
    assert np.array_equal(answers.features, np.stack([features for _, features in found]))
    assert answers.predicted.tolist() == [image.predicted for _, image in chosen_images()]


def expected_vectors(scaling: str) -> NDArray[np.float64]:
    """Return the vectors of the planted maps, which differ from those of the stored ones by rounding."""
    maps = np.stack([pattern_map(image, day) for day, image in chosen_images()])
    return map_vectors(maps, SIZE, "unit" if scaling == "unit" else "rms")


@pytest.mark.parametrize("scaling", ["unit", "rms"])
def test_vectors_are_those_of_the_planted_maps(members: list[DateMembers], scaling: str) -> None:
    expected = expected_vectors(scaling)
    found = MemberVectors(members, SIZE, "unit" if scaling == "unit" else "rms")
    assert found.shape == expected.shape == (7, 16)
    np.testing.assert_allclose(found[0:7], expected, rtol=2e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("at_once", [1, 2, 32])
def test_every_slice_equals_that_of_the_whole(
    members: list[DateMembers], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAPS_AT_ONCE", at_once)
    vectors = MemberVectors(members, SIZE, "unit")
    whole = vectors[:]
    for start in range(8):
        for stop in range(8):
            np.testing.assert_allclose(vectors[start:stop], whole[start:stop], rtol=1e-12, err_msg=f"{start}:{stop}")
    for some in (slice(-3, None), slice(5, 100)):
        np.testing.assert_allclose(vectors[some], whole[some], rtol=1e-12)
    assert np.array_equal(np.concatenate(list(vectors.maps())), np.concatenate(list(vectors.maps(slice(0, 7)))))
    assert max(map(len, vectors.maps())) <= at_once


def test_axes_need_not_hold_the_vectors(members: list[DateMembers]) -> None:
    vectors = MemberVectors(members, SIZE, "unit")
    streamed, loaded = fit_axes(vectors, 4), fit_axes(vectors[:], 4)
    np.testing.assert_allclose(streamed.components, loaded.components, atol=1e-9)
    coordinates = isometric(vectors)
    np.testing.assert_allclose(
        np.linalg.norm(coordinates[:, None] - coordinates[None], axis=2),
        np.linalg.norm(vectors[:][:, None] - vectors[:][None], axis=2),
        atol=1e-7,
    )


def test_maps_have_the_strength_they_were_made_with(store: Store, dates: list[Planted]) -> None:
    shown = [image for image in gappy()[0] if image.split != "train"]
    expected = np.stack([pattern_map(image, DAYS[0]) for image in shown])
    artifact = store.open(dates[0].saliency)
    found = np.concatenate([*iter_maps(artifact, np.arange(len(expected)))])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * expected.max())
    assert [*iter_maps(store.open(dates[3].saliency), np.arange(0))] == []


def test_marks_are_taken_from_a_date_that_has_members(members: list[DateMembers]) -> None:
    clusters = ArtifactRef(kind="clusters", digest="0" * 24)
    expected = {"method": "lime", "explained_class": "predicted", "classifier": "c0", "clusters": "0" * 24}
    assert made_by(members[1:], "lime", clusters) == expected


def test_a_campaign_without_validation_images_has_no_vectors(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one = plant(store, DAYS[0], gappy()[1])
    found = MemberVectors(read_members(store, [one.saliency], [one.predictions]), SIZE, "unit")
    assert found.shape == (0, 16) and found[:].shape == (0, 16) and list(found.maps()) == []
