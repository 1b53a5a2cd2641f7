"""Draw campaigns of any size for `make bench-scale`, as small images in the layout of a plain folder.

A campaign has 20 dates, so n plant-dates are n / 20 plants. Validation and training have about 200 plant-dates each at
any size, like the paper's 196 validation images, and a quarter each in a tiny campaign. They do not grow, because
clusters belong to a campaign and not to the plants scored with it. One in ten of the other plants is a labelled test
plant; the rest are `new` and without label.

Images are 32 pixels wide, and Grad-CAM explains the first stage of ResNet18. Its maps have 8 x 8 positions there, as
many as those of the last stage have for the paper's images of 256 pixels. Workers are also compared on the same images
enlarged to 256 pixels.
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
from tasks.classify.params import GivenClassifier
from tasks.classify.training import TrainParams
from tasks.explain.gradcam import GradcamParams
from tasks.explain.methods import ExplainParams
from tasks.ingest.survey import IngestParams
from tasks.sources.contract import SourceListing
from tasks.sources.folder.source import FolderSource

FIRST_DATE, N_DATES = date(2022, 8, 1), 20
N_FITTED = 200  # plant-dates of validation, and of training
TEST_EVERY = 10  # one in so many other plants is a test plant
SIDE, LAYER, PAPERS_SIDE = 32, "layer1", 256
PER_ROW, SPACING = 200, 0.5  # plants a row of the field, and metres between them
CLASSES = ("not_ready", "ready")


class PlacedFolder(FolderSource):
    """Plain folder whose plants get positions on a grid; the layout has none, and the harvest map needs them."""

    def list_images(self, dates: Sequence[date]) -> SourceListing:
        """List the folder's images, with the position that each plant's id names."""
        found = super().list_images(dates)
        places = ((i, *divmod(int(i.plant_id.rpartition("_")[2]), PER_ROW)) for i in found.images)
        images = (replace(i, northing=SPACING * row, easting=SPACING * column) for i, row, column in places)
        return replace(found, images=tuple(images))


@dataclass(frozen=True)
class Field:
    """Campaign in its own folder, with its images in `field` and its artefacts in `store`.

    Attributes
    ----------
    n : number of plant-dates.
    side : side of the images in pixels, `SIDE` or `PAPERS_SIDE`.
    """

    folder: Path
    n: int
    n_dates: int = N_DATES
    side: int = SIDE

    @property
    def arguments(self) -> tuple[str, ...]:
        """Return the arguments from which `named_field` makes the field in another process."""
        return str(self.folder), str(self.n), str(self.n_dates), str(self.side)

    @property
    def dates(self) -> tuple[date, ...]:
        """Return the acquisition dates, two days apart."""
        return tuple(FIRST_DATE + timedelta(days=2 * k) for k in range(self.n_dates))

    @property
    def store(self) -> str:
        """Return the address of the store."""
        return str(self.folder / "store")

    @property
    def source(self) -> PlacedFolder:
        """Return the source that reads the images."""
        return PlacedFolder(root=str(self.folder / "field"), classes=CLASSES)

    def params(self, weights: str | None) -> CampaignParams:
        """Return the paper's parameters for small images; without weights, a classifier is trained for one epoch."""
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
    """Return the field with these `arguments`."""
    return Field(Path(folder), int(n), int(n_dates), int(side))


def splits_of(n_plants: int, n_dates: int) -> list[str]:
    """Return the split of each plant."""
    n_fitted = min(N_FITTED // n_dates, n_plants // 4)
    rest = ["test" if k % TEST_EVERY == 0 else "new" for k in range(n_plants - 2 * n_fitted)]
    return ["val"] * n_fitted + ["train"] * n_fitted + rest


def draw_field(field: Field) -> None:
    """Draw a campaign's images and manifest, unless they exist."""
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
    """Draw a bright curd on leaves and soil; riper ones are larger, and noise makes every file different."""
    pixels = ground.copy()
    y, x = np.ogrid[:SIDE, :SIDE]
    row, column = rng.uniform(12, 20, 2)
    distance = np.hypot(y - row, x - column)
    pixels[distance < 13, 1] += 70
    pixels[distance < 2 + 7 * ripeness] = (225, 220, 190)
    pixels[::4, ::4] = rng.integers(30, 90, (8, 8, 3))
    return Image.fromarray(pixels)


def composition() -> dict[str, Any]:
    """Return a description of the campaigns, for the result file."""
    return {
        "dates": N_DATES,
        "validation and training": f"{N_FITTED} plant-dates each, whatever the size",
        "other plants": f"one in {TEST_EVERY} test with labels, else new without",
        "image": f"{SIDE} x {SIDE} pixel JPEG",
        "maps": f"Grad-CAM of {LAYER}, 8 x 8",
    }
