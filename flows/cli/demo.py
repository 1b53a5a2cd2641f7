"""Synthetic seasons on disk, and the demonstration campaign: small enough for two cores without a GPU."""

from datetime import date
from pathlib import Path

from tqdm import tqdm

from flows.parameters import CampaignParams
from tasks.classify.augment import AugmentParams
from tasks.classify.training import TrainParams
from tasks.ingest.survey import IngestParams
from tasks.sources.growliflower.source import GrowliFlowerSource
from tasks.sources.synthetic.layout_files import Layout
from tasks.sources.synthetic.layouts import WrittenSeason, write_season
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.season import grow_season

# Not the dates of the paper's field: its counts are not to be compared with a synthetic season's.
DATES = (date(2022, 8, 23), date(2022, 8, 25), date(2022, 8, 30), date(2022, 9, 3))
IMAGE_SIZE = 96  # ResNet18's last stage then has 3 x 3 positions


def demo_season(shortcut: bool, seed: int = 0) -> SeasonParams:
    """A season of 300 plants with a few spoiled files; the marker is planted when `shortcut` says so."""
    return SeasonParams(
        seed=seed,
        dates=DATES,
        n_plots=3,
        image_size=IMAGE_SIZE,
        shortcut=shortcut,
        n_damaged=2,
        n_truncated=2,
        n_duplicates=1,
    )


def demo_campaign(name: str, root: Path) -> CampaignParams:
    """The paper's campaign, but with small images, fewer copies and epochs, and a learning rate to match."""
    return CampaignParams(
        campaign=name,
        source=GrowliFlowerSource(root=str(root)),
        dates=DATES,
        ingest=IngestParams(image_size=IMAGE_SIZE),
        augment=AugmentParams(copies=(1, 2)),
        train=TrainParams(epochs=6, learning_rate=1e-3, step_epochs=2),
    )


def write_demo_season(folder: Path, shortcut: bool, seed: int = 0) -> Path:
    """Write the season in the GrowliFlowerR folder layout, once; returns its root."""
    root = folder / f"season-{'shortcut' if shortcut else 'plain'}-{seed}"
    write_synthetic_season(root, "growliflower", demo_season(shortcut, seed))
    return root


def write_synthetic_season(root: Path, layout: Layout, params: SeasonParams) -> WrittenSeason:
    """Draw a season and write it in a layout, with a progress bar on the terminal."""
    season = grow_season(params)
    with tqdm(desc="draw season", unit="image", total=len(season.observations), disable=None, leave=False) as bar:

        def count() -> None:
            bar.update()

        return write_season(season, root, layout, on_image=count)
