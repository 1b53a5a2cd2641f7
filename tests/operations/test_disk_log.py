"""What `make chaos` calls a loss of power: synced files survive it in every process, others need not."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from storage.artifacts import Recipe, Store
from storage.places.files import damages
from storage.published.manifests import read_published
from tests.support.disk_log import LoggedDisk, compiled
from tests.support.local_stores import local

# Writes artefacts, and one table again and again, and says what is finished. A process of its own syncs each artefact.
PROGRAM = """
import sys
from pathlib import Path
from storage.artifacts import Recipe, Store
from storage.published.manifests import publish_files

store = Store(sys.argv[1])
for n in range(1000):
    recipe = Recipe("images", 1, {"n": n})
    with store.create(recipe) as draft:
        draft.write_bytes("rows.bin", b"rows" * 1000)
        if n:
            draft.link("first.bin", first.file("rows.bin"), first.manifest.files["rows.bin"])
    first = first if n else store.open(recipe.ref)
    content = str(n).encode() * 100
    publish_files(store.root / "table", store.root / "table.json", [recipe.ref], lambda: {"part.bin": content})
    print(n, flush=True)
"""
UNSYNCED = """
import os, sys
from pathlib import Path

for n in range(1000):
    (Path(sys.argv[1]) / "new").write_bytes(b"rows" * 1000)
    os.replace(Path(sys.argv[1]) / "new", Path(sys.argv[1]) / str(n))
    print(n, flush=True)
"""


@pytest.fixture
def disk(tmp_path: Path) -> LoggedDisk:
    (tmp_path / "store").mkdir()
    return LoggedDisk(tmp_path, random.Random(0))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = compiled(tmp_path_factory.mktemp("library"))
    if found is None:
        pytest.skip("there is no C compiler")
    return found


def killed(program: str, disk: LoggedDisk, library: Path, n_lines: int) -> int:
    """Run a program until it has said so many lines and a little more; the number of lines that it said."""
    loaded = {**os.environ, "LD_PRELOAD": str(library), "HARVEST_HOME": str(disk.home)}
    command = [sys.executable, "-c", program, str(disk.store)]
    with subprocess.Popen(command, env=loaded, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        said = [running.stdout.readline() for _ in range(n_lines)]
        running.kill()
        said += running.stdout.readlines()
    return len([line for line in said if line.endswith(b"\n")])


def test_what_was_finished_is_whole_after_each_of_many_losses(disk: LoggedDisk, library: Path) -> None:
    store = Store(disk.store)
    finished = killed(PROGRAM, disk, library, 10)
    for _ in range(8):
        disk.lose_power()
        refs = [Recipe("images", 1, {"n": n}).ref for n in range(finished + 1)]
        assert [store.damage(ref) for ref in refs[:finished]] == [[]] * finished
        assert not local(store.folder(refs[-1])).exists() or store.holds(refs[-1])
        if (disk.store / "table.json").exists():
            said = read_published(disk.store / "table.json")
            assert damages(disk.store / "table", said.files) == []
        finished = max(finished, killed(PROGRAM, disk, library, 3))


def test_what_is_not_synced_may_be_missing_or_cut_off(disk: LoggedDisk, library: Path) -> None:
    n_written = killed(UNSYNCED, disk, library, 100)
    disk.lose_power()
    sizes = [path.stat().st_size for path in disk.store.iterdir()]
    assert n_written / 4 < len(sizes) < 3 * n_written / 4
    assert len(set(sizes)) > 3 and max(sizes) == 4000
    assert disk.n_names > n_written / 4 and disk.n_cut > n_written / 8
