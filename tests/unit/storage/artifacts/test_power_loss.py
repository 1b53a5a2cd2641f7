"""A loss of power at any moment leaves an artefact whole or none, and keeps what was said to be finished."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from storage.arrays.specs import SALIENCY
from storage.arrays.zarr_files import write_array
from storage.artifacts import MANIFEST, Recipe, Store
from storage.artifacts import drafts as drafts_module
from storage.places import durable
from storage.places import files as files_module
from storage.places.files import damages
from storage.published.manifests import PublishedManifest, publish_files, read_published
from tests.support.local_stores import local
from tests.support.power_loss import Disk

FIRST, SECOND = Recipe("saliency", 1, {"n": 1}), Recipe("saliency", 1, {"n": 2})
TABLE = "tables/one"


class Losses:
    """What was found on disks after losses of power, while artefacts and tables were being written."""

    def __init__(self, folder: Path) -> None:
        self.images, self.store = folder / "images", Store(folder / "store")
        self.images.mkdir()
        local(self.store.root).mkdir()
        self.finished: list[Recipe] = []
        self.torn: list[str] = []
        self.lost: list[str] = []
        self._is_drawing = False

    def look(self, disk: Disk) -> None:
        """Draw a disk and look at every artefact and published table on it."""
        if self._is_drawing:  # drawing makes folders too
            return
        self._is_drawing = True
        image = self.images / str(disk.n_moments)
        disk.draw(image)
        store = Store(image)
        for recipe in (FIRST, SECOND):
            is_there = local(store.folder(recipe.ref)).exists()
            if is_there and store.damage(recipe.ref):
                self.torn.append(f"{disk.n_moments}: {store.damage(recipe.ref)}")
            if recipe in self.finished and not is_there:
                self.lost.append(f"{disk.n_moments}: {recipe.ref}")
        if (image / f"{TABLE}.json").exists():
            said: PublishedManifest = read_published(image / f"{TABLE}.json")
            self.torn += damages(image / TABLE, said.files)
        self._is_drawing = False

    def write(self) -> None:
        """Write two artefacts, the second with a link to a file of the first, and publish two versions of a table."""
        for recipe in (FIRST, SECOND):
            with self.store.create(recipe) as draft:
                write_array(draft, SALIENCY, np.full((3, 4, 4), 0.5, np.float32))
                if recipe is FIRST:
                    draft.write_bytes("rows.bin", b"rows" * 100)
                else:
                    first = self.store.open(FIRST.ref)
                    draft.link("rows.bin", first.file("rows.bin"), first.manifest.files["rows.bin"])
            self.finished.append(recipe)
            root, content = local(self.store.root), str(recipe.ref).encode() * 50
            publish_files(root / TABLE, root / f"{TABLE}.json", [recipe.ref], lambda c=content: {"part.bin": c})


def refuse(*_: object) -> None:
    raise OSError(errno.EPERM, "no links here")


@pytest.fixture
def lose(tmp_path: Path) -> Callable[..., tuple[Losses, Disk]]:
    def run(seed: int, has_links: bool = True) -> tuple[Losses, Disk]:
        (tmp_path / str(seed)).mkdir()
        losses = Losses(tmp_path / str(seed))
        disk = Disk(local(losses.store.root), seed, losses.look)
        with pytest.MonkeyPatch.context() as patch:
            if not has_links:
                patch.setattr(os, "link", refuse)
            disk.watch(patch)
            losses.write()
        disk.close()
        return losses, disk

    return run


@pytest.mark.parametrize(("seed", "has_links"), [(0, True), (1, True), (2, True), (3, False)])
def test_artefacts_and_tables_are_whole_or_absent(
    lose: Callable[..., tuple[Losses, Disk]], seed: int, has_links: bool
) -> None:
    """A linked file was synced with its source; a copy, where the file system has no links, was not."""
    losses, disk = lose(seed, has_links)
    assert disk.n_moments > 60
    assert losses.torn == [] and losses.lost == []
    assert (local(losses.store.folder(SECOND.ref)) / MANIFEST).exists()


def test_without_syncing_they_are_torn_or_lost(
    lose: Callable[..., tuple[Losses, Disk]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk of these tests does lose what is not synced."""
    for module in (durable, drafts_module, files_module):
        for name in ("sync", "sync_all"):
            monkeypatch.setattr(module, name, lambda *_: None, raising=False)
    losses, _ = lose(0)
    assert losses.torn and losses.lost
