"""A field on disk: its campaign, and dates that are copied in one after another, whole or by halves."""

import os
import shutil
import subprocess
from datetime import date
from pathlib import Path

from flows.acquisition import score_acquisition
from flows.campaign import analyse_campaign
from flows.cli.run_file import load_run_file
from flows.parameters import CampaignParams
from storage.tables import TABLES
from tasks.sources.synthetic.layouts import write_season
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.season import grow_season
from tests.support.campaigns import HARVEST, contents

FITTED = (date(2022, 8, 25), date(2022, 9, 3))
NEW = (date(2022, 8, 28), date(2022, 8, 30))
TOML = """
dates = ["2022-08-25", "2022-09-03"]
ingest.image_size = 64
augment.copies = [1]
train = {epochs = 2, learning_rate = 1e-3}
cluster = {n_clusters = 3, n_seeds = 2}
source = {kind = "growliflower", root = "images"}
"""


class Field:
    """A season whose dates are copied to where the campaign looks for them; at first those that it is fitted on."""

    def __init__(self, folder: Path, name: str, seed: int = 1) -> None:
        dates = tuple(sorted((*FITTED, *NEW)))
        season = SeasonParams(dates=dates, n_plots=2, rows=3, plants_per_row=10, image_size=64, seed=seed)
        self.name, self.folder, self.root, self.drone = name, folder, folder / "images", folder / "drone"
        write_season(grow_season(season), self.drone, "growliflower")
        shutil.copytree(self.drone, self.root, ignore=lambda _, names: [n for n in names if n.startswith("2022_0")])
        for day in FITTED:
            self.copy(day)
        self.toml.write_text(TOML)

    @property
    def toml(self) -> Path:
        """The campaign as a person would write it."""
        return self.folder / f"{self.name}.toml"

    @property
    def params(self) -> CampaignParams:
        """Read the campaign file."""
        return load_run_file(self.toml)[0]

    @property
    def in_place(self) -> Path:
        """The store of what is run without a server."""
        return self.folder / "in-place"

    def copy(self, day: date) -> None:
        """Copy a date's images; what a copy that was interrupted has left there goes."""
        shutil.rmtree(self.root / images(day), ignore_errors=True)
        shutil.copytree(self.drone / images(day), self.root / images(day))

    def copy_half(self, day: date) -> None:
        """Be at a date's twentieth image, as rsync leaves it while it copies."""
        (self.root / images(day)).mkdir(parents=True)
        *whole, last = sorted((self.drone / images(day)).iterdir())[:20]
        for image in whole:
            shutil.copy(image, self.root / images(day))
        (self.root / images(day) / f".{last.name}.Xy3aB9").write_bytes(last.read_bytes()[:1000])

    def remove(self, day: date) -> None:
        """Take a date's images away again."""
        shutil.rmtree(self.root / images(day))

    def analyse(self) -> None:
        """Run the campaign in this process, in a store of its own."""
        analyse_campaign(self.params, str(self.in_place))

    def score(self, day: date) -> None:
        """Score a date in this process, in that store."""
        score_acquisition(self.name, day, str(self.in_place))

    def harvest(self, *arguments: str) -> str:
        """Output of `harvest` with a server of the command's own, in that store."""
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "HARVEST_"))}
        done = subprocess.run(
            [HARVEST, *arguments, "--store", str(self.in_place)],
            env={**outside, "PREFECT_HOME": str(self.folder / "prefect")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def images(day: date) -> Path:
    """Where a season in the layout `growliflower` has a date's images."""
    return Path("GrowliFlowerR", "Field2", f"{day:%Y_%m_%d}")


def tables(store: Path, campaign: str) -> dict[str, bytes]:
    """Every published table of a campaign."""
    return {
        f"{name}/{path}": content
        for name in TABLES
        for path, content in contents(store / "tables" / name / f"campaign={campaign}").items()
    }
