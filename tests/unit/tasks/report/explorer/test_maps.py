"""Test which maps the plant explorer names as most alike."""

import numpy as np

from tasks.report.explorer.maps import N_NEIGHBOURS, PlacedMaps, alike


def test_nearest_maps_of_other_plants_by_brute_force() -> None:
    generator = np.random.default_rng(1)
    coordinates, plants = generator.normal(size=(40, 7)), [f"p{i % 15}" for i in range(40)]
    expected = [
        sorted(
            (j for j in range(40) if plants[j] != plants[i]),
            key=lambda j: sum((coordinates[i][c] - coordinates[j][c]) ** 2 for c in range(7)),
        )[:N_NEIGHBOURS]
        for i in range(40)
    ]
    assert alike(coordinates, plants).tolist() == expected


def test_one_plant_has_none() -> None:
    assert alike(np.zeros((3, 2)), ["p", "p", "p"]).shape == (3, 0)


def test_few_plants_have_fewer() -> None:
    assert alike(np.asarray([[0.0], [1.0], [3.0]]), ["a", "b", "c"]).tolist() == [[1, 2], [0, 2], [1, 0]]


def test_a_single_axis_leaves_the_second_coordinate_zero() -> None:
    assert PlacedMaps(np.asarray([[2.0], [-1.0]]), b"").first_two().tolist() == [[2, 0], [-1, 0]]
