"""Write synthetic seasons to disk, and define the campaign of `harvest demo`.

The demonstration is small enough for two processor cores without a GPU.
"""

from datetime import date
from pathlib import Path

from tqdm import tqdm

from flows.parameters import CampaignParams
from tasks.classify.params import AugmentParams, TrainParams
from tasks.decide.params import DecideParams
from tasks.ingest.params import IngestParams
from tasks.sources.growliflower.source import GrowliFlowerSource
from tasks.sources.harvest_table import HarvestTable
from tasks.sources.synthetic.layout_files import Layout
from tasks.sources.synthetic.layouts import WrittenSeason, write_season
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.season import grow_season

# Dates of another year than the paper's, so that nobody compares a synthetic season's counts with the paper's.
DATES = (date(2022, 8, 23), date(2022, 8, 25), date(2022, 8, 30), date(2022, 9, 3))
SEASON_END = date(2022, 10, 31)  # by then the season has harvested every plant that it harvests at all
IMAGE_SIZE = 96  # width and height of the demonstration's images, pixels; ResNet18's last stage has 3 x 3 positions


def demo_season(shortcut: bool, seed: int = 0) -> SeasonParams:
    """Return the parameters of a season of 300 plants with a few damaged files.

    Parameters
    ----------
    shortcut : whether training plants carry the marker that means Ready.
    """
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
    """Return a default campaign with small images, fewer augmented copies and epochs, and a larger learning rate.

    It tolerates more wrong answers than the default. A hundred validation plants are few, and with 15 of 100 tolerated
    most seasons would have nothing to act on.
    """
    return CampaignParams(
        campaign=name,
        source=GrowliFlowerSource(root=str(root), harvest_table=HarvestTable(observed_until=SEASON_END)),
        dates=DATES,
        ingest=IngestParams(image_size=IMAGE_SIZE),
        augment=AugmentParams(copies=(1, 2)),
        train=TrainParams(epochs=6, learning_rate=1e-3, step_epochs=2),
        decide=DecideParams(tolerated_error=0.2),
    )


def write_demo_season(folder: Path, shortcut: bool, seed: int = 0) -> Path:
    """Write the season in the GrowliFlowerR folder layout, unless it is there already, and return its root folder."""
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
