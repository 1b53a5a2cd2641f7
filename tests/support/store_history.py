"""A store with a random history of fits, scored dates, reports and killed runs, on which age is told by manifests."""

import json
import os
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from storage.artifacts import MANIFEST, ArtifactRef, Recipe, Store
from storage.published.manifests import publish_files
from storage.records.acquisitions import AcquisitionRecord, fit_digest, write_acquisition
from storage.records.campaigns import CampaignRecord, write_record
from tests.support.local_stores import local

NOW = datetime(2026, 11, 30, tzinfo=UTC)
DAYS = [date(2026, 8, 20), date(2026, 8, 25)]


class History:
    """A store of one campaign that is fitted again and again, with dates scored, reports published and runs killed."""

    def __init__(self, root: Path, seed: int) -> None:
        self.store, self.chance = Store(root), random.Random(seed)
        self.age, self.n = 400.0, 0
        self.images = [self.make("images", {"day": str(day)}) for day in DAYS]
        self.record: CampaignRecord | None = None

    def make(self, kind: str, inputs: dict[str, object] | None = None) -> ArtifactRef:
        """Make an artefact that is as old as the history says now."""
        self.n += 1
        recipe = Recipe(kind, 1, {"n": self.n}, inputs or {})
        with self.store.create(recipe) as draft:
            draft.write_bytes("file.bin", bytes(self.n))
        path = local(self.store.folder(recipe.ref)) / MANIFEST
        said = json.loads(path.read_text())
        path.write_text(json.dumps(said | {"created": (NOW - timedelta(days=self.age)).isoformat()}))
        return recipe.ref

    def fit(self) -> None:
        """Fit the campaign anew: what it had learned before is superseded."""
        maps = self.make("saliency", {"images": self.images, "file": "0123abcd"})
        clusters = self.make("clusters", {"maps": maps})
        learned = {"classifier": self.make("classifier"), "clusters gradcam": clusters}
        self.record = CampaignRecord(
            campaign="field", params={"dates": ["2026-08-01"]}, artifacts=learned, report="reports/field/index.html"
        )
        write_record(self.store, self.record)
        report = self.make("report", {"clusters": clusters})
        folder = local(self.store.root) / "reports" / "field"
        publish_files(folder, folder / MANIFEST, [report], lambda: {"index.html": str(report).encode()})

    def score(self) -> None:
        """Score a date with the present fit."""
        if self.record is None:
            return
        day = self.chance.randrange(len(DAYS))
        decided = self.make(
            "decided", {"images": self.images[day], "clusters": self.record.artifacts["clusters gradcam"]}
        )
        record = AcquisitionRecord(
            campaign="field",
            date=DAYS[day],
            fitted_by="field",
            fit=fit_digest(self.record.artifacts),
            params={},
            artifacts={"decided gradcam": decided},
        )
        write_acquisition(self.store, record)

    def kill(self) -> None:
        """Leave a draft and a work folder, as a killed run does."""
        self.n += 1
        for folder in (f"artifacts/saliency/.tmp-{self.n}", f"work/train-{self.n}"):
            path = local(self.store.root) / folder
            path.mkdir(parents=True)
            (path / "half.bin").write_bytes(b"half")
            for one in (path / "half.bin", path):
                os.utime(one, (made := (NOW - timedelta(days=self.age)).timestamp(), made))

    def go_on(self, n_steps: int) -> None:
        """Go on until today."""
        for _ in range(n_steps):
            self.chance.choice([self.fit, self.score, self.score, self.kill])()
            self.age = max(0.0, self.age - 2 * 400 * self.chance.random() / n_steps)
