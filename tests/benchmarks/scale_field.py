"""Campaigns of any size for `make bench-scale`: small images in the layout of a plain folder, read by its own reader.

A campaign has 20 dates, and plants in proportion: n plant-dates are n / 20 plants. Validation and training do not grow
with them (about 200 plant-dates each, as the paper's 196 validation images; a quarter each in a tiny campaign), for
clusters belong to a campaign and not to the plants scored with it. Of the other plants one in ten is a labelled test
plant, the rest are `new` and without label.

Images are 32 pixel wide, and Grad-CAM explains ResNet18's first stage: its maps have 8 x 8 positions there, as many as
those of the last stage have for the paper's images of 256 pixel. Workers are compared on images of that size too, which
are the same ones enlarged.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flows.parameters import CampaignParams
from tasks.classify.augment import AugmentParams
from tasks.classify.model import GivenClassifier
from tasks.classify.training import TrainParams
from tasks.explain.gradcam import GradcamParams
from tasks.explain.methods import ExplainParams
from tasks.ingest.survey import IngestParams
from tasks.sources.contract import SourceListing
from tasks.sources.folder.source import FolderSource

FIRST_DATE, N_DATES = date(2022, 8, 1), 20
N_FITTED = 200  # plant-dates of validation, and as many of training
TEST_EVERY = 10  # plants that are neither
SIDE, LAYER, PAPERS_SIDE = 32, "layer1", 256
PER_ROW, SPACING = 200, 0.5  # plants a row of the field, and metres between them
CLASSES = ("not_ready", "ready")


class PlacedFolder(FolderSource):
    """A plain folder whose plants stand on a grid: the layout has no positions, and the harvest map needs some."""

    def list_images(self, dates: Sequence[date]) -> SourceListing:
        """The folder's images, each plant at the place that its id names."""
        found = super().list_images(dates)
        places = ((i, *divmod(int(i.plant_id.rpartition("_")[2]), PER_ROW)) for i in found.images)
        images = (replace(i, northing=SPACING * row, easting=SPACING * column) for i, row, column in places)
        return replace(found, images=tuple(images))


@dataclass(frozen=True)
class Field:
    """A campaign of n plant-dates in a folder of its own: `field` has the images, `store` what is made of them.

    `side` is that of its images, `SIDE` or `PAPERS_SIDE` pixels.
    """

    folder: Path
    n: int
    n_dates: int = N_DATES
    side: int = SIDE

    @property
    def arguments(self) -> tuple[str, ...]:
        """What `named_field` finds it by in another process."""
        return str(self.folder), str(self.n), str(self.n_dates), str(self.side)

    @property
    def dates(self) -> tuple[date, ...]:
        """Acquisition dates, two days apart."""
        return tuple(FIRST_DATE + timedelta(days=2 * k) for k in range(self.n_dates))

    @property
    def store(self) -> str:
        """Where its artefacts are."""
        return str(self.folder / "store")

    @property
    def source(self) -> PlacedFolder:
        """Its images."""
        return PlacedFolder(root=str(self.folder / "field"), classes=CLASSES)

    def params(self, weights: str | None) -> CampaignParams:
        """The paper's campaign but for small images and a given classifier; None trains one, shortly."""
        return CampaignParams(
            campaign="scale",
            source=FolderSource(root=str(self.folder / "field"), classes=CLASSES),
            dates=self.dates,
            ingest=IngestParams(image_size=self.side),
            augment=AugmentParams(copies=(1,)),
            train=TrainParams(epochs=1, learning_rate=1e-3),
            classifier=None if weights is None else GivenClassifier(path=weights),
            explain=ExplainParams(gradcam=GradcamParams(layer=LAYER if self.side == SIDE else None)),
        )


def named_field(folder: str, n: str, n_dates: str, side: str) -> Field:
    """The field that has these `arguments`."""
    return Field(Path(folder), int(n), int(n_dates), int(side))


def splits_of(n_plants: int, n_dates: int) -> list[str]:
    """Split of each plant."""
    n_fitted = min(N_FITTED // n_dates, n_plants // 4)
    rest = ["test" if k % TEST_EVERY == 0 else "new" for k in range(n_plants - 2 * n_fitted)]
    return ["val"] * n_fitted + ["train"] * n_fitted + rest


def draw_field(field: Field) -> None:
    """Draw a campaign's images and manifest, once."""
    root, n_plants = field.folder / "field", field.n // field.n_dates
    if (root / "manifest.csv").exists():
        return
    lines = ["file,split,label,plant_id,date"]
    grounds = np.random.default_rng(0).integers(40, 110, (64, SIDE, SIDE, 3)).astype(np.uint8)
    for d, day in enumerate(field.dates):
        (root / day.isoformat()).mkdir(parents=True, exist_ok=True)
        for k, split in enumerate(splits_of(n_plants, field.n_dates)):
            rng = np.random.default_rng([k, d])
            ripeness = float(rng.random())
            label = CLASSES[int(ripeness + rng.normal(0, 0.15) > 0.5)] if split != "new" else ""
            path = f"{day}/plot{1 + k // 1000}_{k}.jpg"
            drawn = picture(ripeness, grounds[k % len(grounds)], rng).resize((field.side, field.side))
            drawn.save(root / path, quality=90)
            lines.append(f"{path},{split},{label},Plot{1 + k // 1000}_{k},{day}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")


def picture(ripeness: float, ground: NDArray[np.uint8], rng: np.random.Generator) -> Image.Image:
    """A bright curd on leaves and soil, the larger the riper; a speck of noise makes every file another one."""
    pixels = ground.copy()
    y, x = np.ogrid[:SIDE, :SIDE]
    row, column = rng.uniform(12, 20, 2)
    distance = np.hypot(y - row, x - column)
    pixels[distance < 13, 1] += 70
    pixels[distance < 2 + 7 * ripeness] = (225, 220, 190)
    pixels[::4, ::4] = rng.integers(30, 90, (8, 8, 3))
    return Image.fromarray(pixels)


def composition() -> dict[str, Any]:
    """What campaigns are made of, for the record."""
    return {
        "dates": N_DATES,
        "validation and training": f"{N_FITTED} plant-dates each, whatever the size",
        "other plants": f"one in {TEST_EVERY} test with labels, else new without",
        "image": f"{SIDE} x {SIDE} pixel JPEG",
        "maps": f"Grad-CAM of {LAYER}, 8 x 8",
    }
