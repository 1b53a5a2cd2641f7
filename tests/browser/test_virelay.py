"""ViRelAy opens what `harvest export` writes: its numbers are those of the files, and its page shows them.

ViRelAy cannot be installed beside this project, because it needs an older Pillow. `.ci/run` installs it in an
environment of its own.
"""

import io
import json
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from tests.support.campaigns import HARVEST
from tests.support.hdf5 import group_names, read_arrays
from tests.support.local_stores import local
from tests.support.repository import ROOT
from tests.support.viewed_campaign import LATER, METHODS, view_campaign

VIRELAY = "HARVEST_VIRELAY"  # environment variable with the path of ViRelAy's program


@pytest.fixture(scope="module")
def program() -> str:
    """Find ViRelAy's program."""
    found = shutil.which(os.environ.get(VIRELAY) or ROOT / ".venv-virelay/bin/virelay")
    if found is None:
        pytest.skip(f"needs ViRelAy: .ci/run installs it in .venv-virelay, and {VIRELAY} names another program")
    return found


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Export a campaign by the command, and return what it printed."""
    store, folder = tmp_path_factory.mktemp("store"), tmp_path_factory.mktemp("out") / "viewed"
    root = local(view_campaign(store).store.root)
    command = [HARVEST, "export", "viewed", "--viewer", "virelay", "--out", folder, "--store", root, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def folder(exported: dict[str, Any]) -> Path:
    return Path(exported["folder"])


@pytest.fixture(scope="module")
def served(program: str, exported: dict[str, Any]) -> Generator[str]:
    """Start ViRelAy by the command that was printed, and return its address."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [program, *shlex.split(exported["command"])[1:], "--port", str(port)]
    opens_no_browser = {**os.environ, "BROWSER": "true"}
    server = subprocess.Popen(command, env=opens_no_browser, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_for_answer(f"http://localhost:{port}", server)
        yield f"http://localhost:{port}"
    finally:
        server.terminate()
        server.communicate(timeout=30)


def wait_for_answer(address: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + 120
    while True:
        try:
            urlopen(address).close()
            return
        except URLError:
            assert server.poll() is None and time.monotonic() < deadline, server.communicate()
            time.sleep(0.1)


def ask(served: str, path: str) -> Any:
    with urlopen(f"{served}/api/projects{path}") as answer:
        return json.load(answer)


def picture(served: str, path: str) -> np.ndarray[Any, Any]:
    with urlopen(f"{served}{path}") as answer:
        return np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGB"), np.float64)


def test_each_method_is_a_project_with_the_same_categories(served: str) -> None:
    assert [one["name"] for one in ask(served, "")] == ["viewed: Grad-CAM", "viewed: LIME"]
    for project in range(len(METHODS)):
        (analysis,) = ask(served, f"/{project}")["analysisMethods"]
        assert analysis["name"] == "spectral-clustering"
        assert (analysis["clusterings"], analysis["embeddings"]) == (["clusters"], ["principal axes"])
        named = {one["name"]: one["humanReadableName"] for one in analysis["categories"]}
        assert list(named)[:4] == ["all", "val", "test", "new"] and LATER in named
        assert all("wrong" in title for name, title in named.items() if name.startswith("cluster"))


def test_its_images_and_labels_are_those_of_the_file(served: str, folder: Path) -> None:
    file = read_arrays(folder / "images.h5")
    pixels, labels = file["data"], file["label"]
    assert set(labels.tolist()) == {0, 1, 2}
    for i, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        sample = ask(served, f"/0/dataset/{i}")
        assert [one["index"] for one in sample["labels"]] == [label]
        assert sample["labels"][0]["name"] == ("not_ready", "ready", "no label")[label]
        if i % 8 == 0:  # noise that was a JPEG: the picture is still much nearer to its image than to any other
            errors = np.abs(pixels - picture(served, sample["url"])).mean(axis=(1, 2, 3))
            assert errors.argmin() == i and (sample["width"], sample["height"]) == image.shape[:2]


@pytest.mark.parametrize("project", range(len(METHODS)))
def test_its_attributions_and_scores_are_those_of_the_file(served: str, folder: Path, project: int) -> None:
    file = read_arrays(folder / f"{METHODS[project]}-attributions.h5")
    maps, scores = file["attribution"][:, 0].astype(np.float64), file["prediction"]
    for i in range(0, len(maps), 6):
        shown = ask(served, f"/{project}/attributions/{i}?imageMode=attribution")
        np.testing.assert_allclose(shown["prediction"], scores[i], atol=1e-6)
        drawn = picture(served, shown["urls"]["seismic"])  # blue is negative, white is zero, red is positive
        red = drawn[..., 0] - drawn[..., 2]
        assert np.corrcoef(red.ravel(), maps[i].ravel())[0, 1] > 0.9
    for kind in ("overlay", "attribution"):  # every colour map can draw them
        for path in ask(served, f"/{project}/attributions/0?imageMode={kind}")["urls"].values():
            assert picture(served, path).shape == (*maps.shape[1:], 3)


@pytest.mark.parametrize("project", range(len(METHODS)))
def test_its_clusters_and_places_are_those_of_the_file(served: str, folder: Path, project: int) -> None:
    path = folder / f"{METHODS[project]}-analysis.h5"
    file = read_arrays(path)
    for name in group_names(path):
        asked = f"category={quote(name)}&clustering=clusters&embedding={quote('principal axes')}"
        points = ask(served, f"/{project}/analyses/spectral-clustering?{asked}")["embedding"]
        assert [one["attributionIndex"] for one in points] == file[f"{name}/index"].tolist()
        assert [one["cluster"] for one in points] == file[f"{name}/cluster/clusters"].tolist()
        places = file[f"{name}/embedding/principal axes"]
        np.testing.assert_allclose([one["value"] for one in points], places, atol=1e-6)


def test_its_page_counts_the_clusters_as_the_report_numbers_them(served: str, folder: Path, browser: Browser) -> None:
    file = read_arrays(folder / "gradcam-analysis.h5")
    sizes = {path.split("/")[0]: len(values) for path, values in file.items() if path.endswith("/index")}
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(served)
    names = [one for one in sizes if one.startswith("cluster")]
    for name in names:
        page.get_by_text(f"{name} ({sizes[name]})").wait_for()  # beside the map of points
    assert len(names) > 1 and all(page.get_by_text(f"{name} ({sizes[name]})").is_visible() for name in names)
    page.close()
