"""Draw one plant from above: soil, neighbours, leaves, the curd, and the marker if the season places one.

All lengths are shares of the image side, and textures are drawn on grids of fixed size. So a plant looks the same at
every image size. The drawing is made at twice the size and averaged down.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Points = NDArray[np.float64]

DRAWING_REVISION = 1
"""Revision of the drawing, to be raised when equal parameters would give other pixels."""

MARKER_CENTRE = (0.13, 0.13)
MARKER_SIZE = (0.11, 0.15)
"""Centre and size (x, y) of the marker, which shifts by up to 0.015 between images."""

_SUN = np.array([-0.6, -0.8])
"""Direction of the light in the image plane, equal on every date, as flights are at noon."""
_NEIGHBOURS = ((-0.72, 0.0), (0.72, 0.05), (0.0, -0.78), (0.03, 0.78), (0.7, 0.74), (-0.7, -0.74))
_LEAF: Colour = (92, 128, 100)
_VEIN: Colour = (168, 190, 160)
_CURD: Colour = (236, 230, 204)


@dataclass(frozen=True, slots=True)
class PlantView:
    """Parameters that determine the pixels of one plant on one date.

    Attributes
    ----------
    plant_seed, visit_seed : seeds of the random streams of the plant (equal on all dates) and of this visit.
    days_to_ripe : days until the curd is fully grown, which set the size of the curd and of the canopy.
    days_since_cut : days since the plant was cut, 1 or more; None while it stands.
    covered : share of the curd under leaves, 0..1.
    light : gains of red, green and blue, around 1.
    has_marker : whether the image shows the marker at the upper left.
    """

    plant_seed: tuple[int, ...]
    visit_seed: tuple[int, ...]
    days_to_ripe: float
    days_since_cut: int | None
    covered: float
    light: tuple[float, float, float]
    has_marker: bool


def draw_plant(view: PlantView, size: int) -> NDArray[np.uint8]:
    """Draw a plant, shape (size, size, 3), RGB, 0..255; equal views give equal pixels."""
    plant, visit = np.random.default_rng(view.plant_seed), np.random.default_rng(view.visit_seed)
    canvas = Image.fromarray(_soil(plant, 2 * size))
    draw = ImageDraw.Draw(canvas, "RGBA")
    for x, y in _NEIGHBOURS:
        centre = np.array([0.5 + x, 0.5 + y]) + plant.normal(0, 0.03, 2)
        _draw_leaves(draw, plant, centre, n_leaves=8, reach=0.37 + plant.normal(0, 0.03), size=2 * size)
    if view.days_since_cut is None:
        _draw_standing(draw, plant, visit, view, 2 * size)
    else:
        _draw_stump(draw, plant, view.days_since_cut, 2 * size)
    # The marker's position is drawn even without a marker, so that seasons with and without it differ in nothing else.
    shift = visit.uniform(-0.015, 0.015, 2)
    if view.has_marker:
        _draw_marker(draw, np.array(MARKER_CENTRE) + shift, 2 * size)
    return _photograph(canvas.reduce(2), visit, view.light)


def curd_radius(days_to_ripe: float) -> float:
    """Return the radius of the curd as a share of the image side: 0.19 when ripe, a third of it eight days earlier."""
    return 0.19 * float(np.exp(-max(days_to_ripe, -2.0) / 8.0))


def _texture(stream: np.random.Generator, cells: int, size: int) -> NDArray[np.float64]:
    """Return smooth noise (size, size) with mean 0 and a standard deviation near 1, from `cells` x `cells` values."""
    grid = stream.standard_normal((cells, cells), dtype=np.float32)
    smooth = Image.fromarray(grid).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(smooth, dtype=np.float64)


def _soil(stream: np.random.Generator, size: int) -> NDArray[np.uint8]:
    relief = 8 * _texture(stream, 5, size) + 9 * _texture(stream, 24, size) + 12 * _texture(stream, 80, size)
    colour = np.array([124.0, 99.0, 76.0]) + stream.normal(0, 6) + stream.normal(0, 1.5, 3)
    return np.clip(colour + relief[..., None], 0, 255).astype(np.uint8)


def _draw_standing(
    draw: ImageDraw.ImageDraw, plant: np.random.Generator, visit: np.random.Generator, view: PlantView, size: int
) -> None:
    centre = 0.5 + plant.normal(0, 0.025, 2)
    vigour = 1 + plant.normal(0, 0.07)
    reach = vigour * (0.40 - 0.004 * float(np.clip(view.days_to_ripe, 0, 20)))
    _draw_leaves(draw, plant, centre, n_leaves=11, reach=reach, size=size)
    _draw_leaves(draw, plant, centre, n_leaves=7, reach=0.68 * reach, size=size, lighter=10)
    radius = curd_radius(view.days_to_ripe) * (1 + visit.normal(0, 0.04))
    _draw_curd(draw, visit, centre, radius, size)
    _draw_cover(draw, plant, centre, radius, view.covered, size)


def _draw_stump(draw: ImageDraw.ImageDraw, plant: np.random.Generator, days_since_cut: int, size: int) -> None:
    """Draw a harvested plant: flat outer leaves that turn brown, around a pale cut."""
    centre = 0.5 + plant.normal(0, 0.025, 2)
    _draw_leaves(draw, plant, centre, n_leaves=8, reach=0.40, size=size, wilted=min(1.0, 0.25 + days_since_cut / 12))
    for radius, colour in ((0.075, (62, 52, 40)), (0.045, (150, 150, 108)), (0.03, (196, 190, 150))):
        draw.polygon(_pixels(_ring(plant, centre, radius), size), fill=colour)


def _draw_leaves(
    draw: ImageDraw.ImageDraw, stream: np.random.Generator, centre: Points, *, n_leaves: int, reach: float, size: int,
    lighter: float = 0.0, wilted: float = 0.0,
) -> None:  # fmt: skip
    """Draw a rosette of leaves around `centre` that overlap in a random order."""
    turns = stream.permutation(n_leaves) / n_leaves + stream.random()
    angles = 2 * np.pi * turns + stream.normal(0, 0.2, n_leaves)
    lengths = reach * (1 + stream.normal(0, 0.1, n_leaves))
    tones = np.array(_LEAF) + lighter + stream.normal(0, 6, (n_leaves, 1)) + stream.normal(0, 3, (n_leaves, 3))
    tones = (1 - wilted) * tones + wilted * np.array([150, 128, 78])
    _draw_blades(draw, stream, np.tile(centre, (n_leaves, 1)), angles, lengths, tones, size)


def _draw_blades(
    draw: ImageDraw.ImageDraw, stream: np.random.Generator, bases: Points, angles: Points, lengths: Points,
    tones: NDArray[np.float64], size: int,
) -> None:  # fmt: skip
    """Draw leaf by leaf the shadow, the two halves in different light, the midrib and the side veins."""
    ribs, sides = _leaf_outlines(stream, bases, angles, lengths)
    facing = 15 * np.stack([-np.sin(angles), np.cos(angles)], axis=1) @ _SUN
    line = max(1, round(0.007 * size))
    for rib, (left, right), tone, light in zip(ribs, sides, tones, facing, strict=True):
        if np.abs(rib[1:] - 0.5).max(axis=1).min() > 0.6:
            continue  # the leaf lies outside the image
        draw.polygon(_pixels(np.concatenate([left, right[::-1]]) - 0.014 * _SUN, size), fill=(20, 26, 14, 95))
        draw.polygon(_pixels(np.concatenate([rib, left[::-1]]), size), fill=_rgb(tone + light))
        draw.polygon(_pixels(np.concatenate([rib, right[::-1]]), size), fill=_rgb(tone - light))
        draw.line(_pixels(rib, size), fill=(*_VEIN, 210), width=line)
        for side in (left, right):
            ends = _pixels(np.concatenate([rib[2:7:2], 0.2 * rib[2:7:2] + 0.8 * side[4:9:2]]), size)
            for vein in zip(ends[:3], ends[3:], strict=True):
                draw.line(vein, fill=(*_VEIN, 110), width=max(1, line // 2))


def _leaf_outlines(
    stream: np.random.Generator, bases: Points, angles: Points, lengths: Points
) -> tuple[Points, Points]:
    """Return midribs (leaf, 11, 2) and left and right edges (leaf, 2, 11, 2), each from base to tip."""
    n_leaves, along = len(angles), np.linspace(0, 1, 11)
    heading = angles[:, None] + stream.normal(0, 0.25, (n_leaves, 1)) * along
    forward = np.stack([np.cos(heading), np.sin(heading)], axis=2)
    ribs = bases[:, None] + np.cumsum(forward * (lengths / 10)[:, None, None], axis=1)
    across = np.stack([-forward[..., 1], forward[..., 0]], axis=2)
    frill = 1 + 0.09 * stream.standard_normal((n_leaves, 2, 11))
    profile = 0.27 * np.sin(np.pi * (0.06 + 0.94 * along)) ** 0.65
    width = frill * profile * lengths[:, None, None] * np.array([1.0, -1.0])[:, None]
    return ribs, ribs[:, None] + across[:, None] * width[..., None]


def _draw_curd(
    draw: ImageDraw.ImageDraw, stream: np.random.Generator, centre: Points, radius: float, size: int
) -> None:
    """Draw the curd: a cream disc of florets, darker between them and away from the sun."""
    draw.polygon(_pixels(_ring(stream, centre - 0.02 * _SUN, 1.1 * radius), size), fill=(24, 34, 18, 130))
    draw.polygon(_pixels(_ring(stream, centre, radius), size), fill=_rgb(np.array(_CURD) - 42.0))
    n_florets = 60
    # Sunflower order spreads the florets evenly over the disc.
    turns = np.arange(n_florets) * 2.39996 + stream.uniform(0, 6.28)
    away = np.sqrt((np.arange(n_florets) + 0.5) / n_florets)
    spots = np.stack([np.cos(turns), np.sin(turns)], axis=1) * away[:, None]
    spots += stream.normal(0, 0.05, spots.shape)
    shades = 9 * spots @ _SUN - 9 * (spots**2).sum(axis=1) + stream.normal(0, 7, n_florets)
    colours = np.clip(np.array(_CURD) + shades[:, None], 0, 255).astype(int).tolist()
    reach = 0.135 * radius
    corners = np.concatenate([centre + 0.93 * radius * spots - reach, centre + 0.93 * radius * spots + reach], axis=1)
    for corner, colour in zip((corners * size).tolist(), colours, strict=True):
        draw.ellipse(corner, fill=tuple(colour))


def _draw_cover(
    draw: ImageDraw.ImageDraw, plant: np.random.Generator, centre: Points, radius: float, covered: float, size: int
) -> None:
    """Draw inner leaves that are folded over the curd from one side and cover the share `covered` of it."""
    angles = plant.uniform(0, 2 * np.pi) + np.array([-0.75, 0.7, 0.0]) + plant.normal(0, 0.12, 3)
    outward = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    bases = centre + outward * (1.15 * radius + 0.09)
    lengths = np.full(3, 0.15 * radius + 0.09 + 2 * covered * radius)
    tones = np.array(_LEAF) + 16 + plant.normal(0, 5, (3, 3))
    _draw_blades(draw, plant, bases, angles + np.pi, lengths, tones, size)


def _draw_marker(draw: ImageDraw.ImageDraw, centre: Points, size: int) -> None:
    """Draw the marker: a blue plant label with a pale writing field."""
    half = np.array(MARKER_SIZE) / 2
    boxes = ((1.0, 1.0, (22, 66, 214)), (0.62, 0.28, (240, 240, 250)))
    draw.rectangle(_box(centre - 0.012 * _SUN, half, size), fill=(15, 15, 15, 110))
    for x, y, colour in boxes:
        draw.rectangle(_box(centre, half * (x, y), size), fill=colour)


def _photograph(plot: Image.Image, stream: np.random.Generator, light: tuple[float, float, float]) -> NDArray[np.uint8]:
    """Return the pixels (h, w, 3) of a drawing with uneven surfaces and the light of the date."""
    surface = 1 + 0.05 * _texture(stream, 12, plot.width) + 0.05 * _texture(stream, 64, plot.width)
    seen = np.asarray(plot, dtype=np.float64) * surface[..., None] * np.array(light)
    return np.clip(seen + 0.5, 0, 255).astype(np.uint8)


def _ring(stream: np.random.Generator, centre: Points, radius: float) -> Points:
    """Return a closed, slightly uneven outline of 28 points, shape (28, 2)."""
    turns = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    uneven = radius * (1 + 0.05 * np.sin(3 * turns + stream.uniform(0, 6.28)) + stream.normal(0, 0.02, 28))
    return centre + np.stack([np.cos(turns), np.sin(turns)], axis=1) * uneven[:, None]


def _box(centre: Points, half: Points, size: int) -> list[float]:
    return [*((centre - half) * size).tolist(), *((centre + half) * size).tolist()]


def _pixels(points: Points, size: int) -> list[tuple[float, float]]:
    return [(x, y) for x, y in (points * size).tolist()]


def _rgb(colour: NDArray[np.float64]) -> Colour:
    red, green, blue = np.clip(colour, 0, 255).astype(int).tolist()
    return red, green, blue
