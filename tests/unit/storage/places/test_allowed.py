"""Places that a run of the service may use: what lies below the allowed ones, however it is written."""

import os
from contextlib import nullcontext
from datetime import date
from pathlib import Path

import pytest

from flows.parameters import BackfillParams, Season
from storage.artifacts import Store
from storage.errors import ArtifactError, InputError
from storage.places.allowed import refuse_other_places, refuse_other_scheduler, refuse_way_out
from tasks.classify.params import GivenClassifier
from tasks.sources import AnySource
from tasks.sources.field.plants_file import PlantsFile
from tasks.sources.field.source import FieldSource
from tasks.sources.folder.source import FolderSource
from tasks.sources.growliflower.source import GrowliFlowerSource
from tasks.sources.harvest_table import HarvestTable
from tasks.sources.synthetic.source import SyntheticSource

DAY = date(2024, 5, 1)


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with an allowed store, an allowed folder of sources with links in it, and what lies beside them."""
    monkeypatch.chdir(tmp_path)
    for name in ("store", "sources/field", "sources-2", "secret", "programs"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "secret/harvest.csv").write_text("plant_id,harvest_date\n")
    (tmp_path / "sources/link").symlink_to(tmp_path / "secret")
    (tmp_path / "sources/table.csv").symlink_to(tmp_path / "secret/harvest.csv")
    (tmp_path / "sources/circle").symlink_to(tmp_path / "sources/circle")
    (tmp_path / "own").symlink_to(tmp_path / "store")
    (tmp_path / "to-sources").symlink_to(tmp_path / "sources")
    monkeypatch.setenv("HARVEST_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("HARVEST_STORES", " s3://harvest/one?endpoint=https://S3.example.org ,")
    monkeypatch.setenv("HARVEST_PROGRAMS", str(tmp_path / "programs"))
    monkeypatch.setenv("HARVEST_SOURCES", f"{tmp_path}/to-sources, s3://flights/2024, https://maps.example.org/field")
    return tmp_path


@pytest.mark.parametrize(
    "address",
    [
        "{0}/store",
        "{0}/store/",
        "{0}/own",
        "store",
        "{0}/sources/../store",
        "s3://harvest/one?endpoint=https://s3.example.org:443/",
        "S3://harvest/one/?endpoint=https://s3.example.org",
    ],
)
def test_stores_of_the_service_are_used_however_they_are_written(
    given: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Store(address.format(given))
    monkeypatch.setenv("HARVEST_STORE", str(given / "other"))  # it is the settings that allow them
    monkeypatch.setenv("HARVEST_STORES", "")
    with pytest.raises(InputError, match="is not one of this service"):
        Store(opened.address)


@pytest.mark.parametrize(
    "address",
    [
        "{0}",
        "{0}/store/artifacts",
        "{0}/store-2",
        "{0}/STORE",
        "{0}/store/../secret",
        "{0}/sources",
        "{0}/own/..",
        "~/store",
        "",
        "s3://harvest/one",
        "s3://harvest/one/two?endpoint=https://s3.example.org",
        "s3://harvest/other?endpoint=https://s3.example.org",
        "s3://other/one?endpoint=https://s3.example.org",
        "s3://harvest/one?endpoint=http://s3.example.org",
        "s3://harvest/one?endpoint=https://s3.example.org.evil.example",
        "s3://harvest/one?endpoint=https://s3.example.org&endpoint=https://evil.example",
        "s3://harvest/one?endpoint=https://s3.example.org:8443",
        "s3://harvest/one?endpoint=https://evil.example/https://s3.example.org",
    ],
)
def test_other_stores_are_refused(given: Path, address: str) -> None:
    with pytest.raises(InputError) as refused:
        Store(address.format(given))
    assert "is not one of this service" in refused.value.found and "HARVEST_STORES" in refused.value.remedy


@pytest.mark.parametrize("address", ["file:///srv/store", "s3://harvest/../one", "s3://harvest/one?region=a.evil.org/"])
def test_addresses_that_are_no_store_are_refused(given: Path, address: str) -> None:
    with pytest.raises(InputError, match="The store's address"):
        Store(address)


def field(path: str = "plants.csv", rasters: str = "{date}.tif", root: str = "sources/field") -> FieldSource:
    return FieldSource(root=root, rasters={DAY: rasters}, plants=PlantsFile(path=path), crs="EPSG:25832")


ALLOWED: dict[str, AnySource] = {
    "the folder itself": FolderSource(root="{0}/sources"),
    "below it": FolderSource(root="{0}/sources/field", harvest_table=HarvestTable(path="harvest.csv")),
    "through a link": FolderSource(root="{0}/to-sources/field/../field"),
    "beside the root": GrowliFlowerSource(root="sources/field", harvest_table=HarvestTable(path="../harvest.csv")),
    "in a bucket": field(rasters="s3://flights/2024/05/01.tif"),
    "on a server": field(rasters="https://MAPS.example.org:443/field/01.tif"),
    "drawn": SyntheticSource(),
}
REFUSED: dict[str, tuple[AnySource, str]] = {
    "above": (FolderSource(root="{0}"), "source.root"),
    "beside": (FolderSource(root="{0}/sources-2"), "source.root"),
    "system": (FolderSource(root="/etc"), "source.root"),
    "system, as a release": (GrowliFlowerSource(root="/etc"), "source.root leads"),
    "home": (FolderSource(root="~"), "source.root"),
    "here": (FolderSource(root=""), "source.root"),
    "upwards": (FolderSource(root="{0}/sources/../secret"), "source.root"),
    "through a link": (FolderSource(root="{0}/sources/link"), "source.root"),
    "through a circle": (FolderSource(root="{0}/sources/circle/../../secret"), "source.root"),
    "other case": (FolderSource(root="{0}/Sources"), "source.root"),
    "NUL": (FolderSource(root="{0}/sources/field\0"), "source.root"),
    "address as a root": (FolderSource(root="file://{0}/sources"), "source.root"),
    "manifest": (FolderSource(root="{0}/sources", manifest="/etc/passwd"), "source.manifest"),
    "table": (
        FolderSource(root="{0}/sources", harvest_table=HarvestTable(path="{0}/secret/harvest.csv")),
        "source.harvest_table.path",
    ),
    "table upwards": (
        GrowliFlowerSource(root="{0}/sources", harvest_table=HarvestTable(path="../secret/harvest.csv")),
        "source.harvest_table.path",
    ),
    "table through a link": (
        FolderSource(root="{0}/sources", harvest_table=HarvestTable(path="table.csv")),
        "source.harvest_table.path",
    ),
    "plants": (field(path="/etc/passwd"), "source.plants.path"),
    "plants by GDAL": (field(path="/vsicurl/https://evil.example/plants.gpkg"), "source.plants.path"),
    "raster": (field(rasters="../../secret/01.tif"), f"source.rasters.{DAY}"),
    "bucket": (field(rasters="s3://other/2024/01.tif"), f"source.rasters.{DAY}"),
    "prefix": (field(rasters="s3://flights/2024-private/01.tif"), f"source.rasters.{DAY}"),
    "prefix upwards": (field(rasters="s3://flights/2024/%252e%252e/01.tif"), f"source.rasters.{DAY}"),
    "endpoint": (field(rasters="s3://flights/2024/1.tif?endpoint=https://evil.example"), f"source.rasters.{DAY}"),
    "server": (field(rasters="https://evil.example/field/01.tif"), f"source.rasters.{DAY}"),
    "server as a user": (field(rasters="https://maps.example.org@evil.example/field/1.tif"), f"source.rasters.{DAY}"),
    "server as a part": (field(rasters="https://maps.example.org.evil.example/field/1.tif"), f"source.rasters.{DAY}"),
    "server by a backslash": (field(rasters="https://evil.example\\@maps.example.org/field/1.tif"), "source.rasters"),
    "scheme": (field(rasters="http://maps.example.org/field/01.tif"), f"source.rasters.{DAY}"),
    "port": (field(rasters="https://maps.example.org:8080/field/01.tif"), f"source.rasters.{DAY}"),
    "odd port": (field(rasters="https://maps.example.org:x/field/01.tif"), f"source.rasters.{DAY}"),
    "metadata of a cloud": (field(rasters="http://169.254.169.254/latest/01.tif"), f"source.rasters.{DAY}"),
}


def placed(source: AnySource, folder: Path) -> AnySource:
    """A source whose texts begin in this folder."""
    return type(source).model_validate_json(source.model_dump_json().replace("{0}", str(folder)))


@pytest.mark.parametrize("name", ALLOWED)
def test_sources_in_allowed_places_may_be_read(given: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = placed(ALLOWED[name], given)
    refuse_other_places(source=source)
    monkeypatch.setenv("HARVEST_SOURCES", "")  # it is the setting that allows them
    with nullcontext() if name == "drawn" else pytest.raises(InputError, match=" leads to "):
        refuse_other_places(source=source)


@pytest.mark.parametrize("name", REFUSED)
def test_sources_in_other_places_are_refused_with_their_key(given: Path, name: str) -> None:
    source, key = REFUSED[name]
    with pytest.raises(InputError) as refused:
        refuse_other_places(source=placed(source, given))
    assert refused.value.found.startswith(f"{key}") and " leads to " in refused.value.found
    assert "HARVEST_SOURCES" in refused.value.remedy and str(given / "to-sources") in refused.value.rule


@pytest.mark.parametrize(
    ("path", "is_allowed"),
    [
        ("{0}/sources/model.pt", True),
        ("{0}/programs/model.pt2", True),
        ("sources/model.pt", True),
        ("{0}/secret/model.pt", False),
        ("secret/model.pt", False),
        ("../model.pt", False),
        ("{0}/programs/../secret/model.pt", False),
        ("https://evil.example/model.pt", False),
    ],
)
def test_classifiers_lie_beside_sources_or_programs(given: Path, path: str, is_allowed: bool) -> None:
    classifier = GivenClassifier(path=path.format(given))
    if is_allowed:
        refuse_other_places(source=None, classifier=classifier)
    else:
        with pytest.raises(InputError, match=r"classifier\.path leads to"):
            refuse_other_places(source=None, classifier=classifier)


def test_a_secret_in_an_address_is_not_shown(given: Path) -> None:
    source = field(rasters="https://me:password@evil.example/1.tif?key=password")
    with pytest.raises(InputError) as refused:
        refuse_other_places(source=source)
    assert "password" not in str(refused.value) and "https://evil.example/1.tif" in refused.value.found


@pytest.mark.parametrize("is_set", [True, False])
def test_schedulers_of_dask_are_refused_unless_they_are_named(monkeypatch: pytest.MonkeyPatch, is_set: bool) -> None:
    monkeypatch.setenv("HARVEST_SCHEDULERS", "tcp://head:8786" if is_set else "")
    for address in ("tcp://head:8787", "tcp://evil:8786", "tls://head:8786", "tcp://head:8786/x"):
        with pytest.raises(InputError, match="is not one of this service"):
            refuse_other_scheduler(address)
    if is_set:
        refuse_other_scheduler("tcp://head:8786")


def test_outside_the_service_everything_may_be_used(tmp_path: Path) -> None:
    assert not {"HARVEST_STORES", "HARVEST_SOURCES", "HARVEST_SCHEDULERS"} & os.environ.keys()
    Store(tmp_path / "anywhere")
    seasons = BackfillParams(name="x", seasons=(Season(campaign="x", source=FolderSource(root="/etc")),))
    refuse_other_places(source=seasons.seasons[0].source, classifier=GivenClassifier(path="/etc/passwd"))
    refuse_other_scheduler("tcp://anybody:1")


@pytest.mark.parametrize(
    ("name", "leads_out"),
    [
        *(("", False), ("field", False), ("gone/deep", False), ("field/../field", False), ("inner/deep", False)),
        *(("link", True), ("link/deep", True), ("table.csv", True), ("..", True), ("field/../../secret", True)),
        *(("../sources-2", True), ("inner/../link", True)),
    ],
)
def test_a_place_that_leads_out_of_a_folder_is_refused(given: Path, name: str, leads_out: bool) -> None:
    (given / "sources/inner").symlink_to(given / "sources/field")
    for root in ("sources", "to-sources"):  # which may be a link itself
        with pytest.raises(ArtifactError, match="leads to") if leads_out else nullcontext():
            refuse_way_out(given / root / name, given / root)
