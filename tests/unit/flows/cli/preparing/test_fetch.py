"""Test `harvest fetch` through the command line, on a tiny real release and a server that speaks the hub's protocol."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from flows.cli.run_file import load_run_file
from storage.places.hub import SETTINGS
from tests.support.hub_servers import LATER, PAPER_DATES, REVISION, HubServer, Release, running_hub, small_release
from tests.support.object_servers import free_port
from tests.support.repository import ROOT
from tests.unit.flows.cli.test_main import is_one_message, main

Run = Callable[..., tuple[int, str, str]]
LISTS = {"samples.json", "README.md"}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return small_release(tmp_path_factory.mktemp("release") / "drawn")


@pytest.fixture
def hub(drawn: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[HubServer]:
    """Return a running hub with the release, which the environment names, and work in an empty folder."""
    for name in (*SETTINGS, "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "")  # so that what the command sets ends with the test
        monkeypatch.delenv(name)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("time.sleep", lambda _: None)  # between tries of a request
    with running_hub(Release(dict(drawn.files))) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def fetch(hub: HubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command in this process: exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        hub.forget()
        code = main(monkeypatch, "fetch", "growliflower", "season", *arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def files_of(folder: str = "season/GrowliFlower") -> dict[str, bytes]:
    """Every file below the release's folder, by name, but those of the client, which come and go; none is a link."""
    paths = [path for path in Path(folder).rglob("*") if not path.is_dir()]
    assert not any(path.is_symlink() for path in paths)
    found = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(".cache/")}


def remarks() -> str:
    """Comments of the campaign file, as one line."""
    lines = Path("season/campaign.toml").read_text().splitlines()
    return " ".join(line.removeprefix("# ") for line in lines if line.startswith("#"))


def error_of(said: str) -> str:
    """The error message at the end of standard error, which must be one message."""
    message = said[said.index("error: ") :]
    assert is_one_message(message) and "rule: " in message and "remedy: " in message
    return message


def test_the_paper_s_experiment_and_nothing_else(hub: HubServer, fetch: Run) -> None:
    wanted = hub.release.image_names("Field2", *PAPER_DATES)
    code, out, err = fetch()
    assert code == 0 and len(wanted) == 24
    assert files_of() == {name: hub.release.files[name] for name in wanted | LISTS}
    assert hub.fetched() == wanted | LISTS and sum(hub.sent.values()) == sum(
        len(hub.release.files[n]) for n in hub.sent
    )
    asked = {path.rpartition(f"{REVISION}/")[2] for method, path in hub.asked if method == "HEAD"}
    assert asked == wanted | LISTS and sum(path.startswith("/api/") for _, path in hub.asked) == 3
    size = sum(len(hub.release.files[name]) for name in wanted) / 1000
    assert (
        f"images of Field2, 2021-08-23, 2021-08-25, 2021-08-30, 2021-09-03, the default: 24 files, {size:.1f} kB" in err
    )
    assert f"{size:.1f} kB to fetch (" in err and " free)" in err
    assert f"24 images in season/GrowliFlower: {len(wanted | LISTS)} files fetched" in out
    assert "campaign file: season/campaign.toml\nnext: harvest look season/campaign.toml" in out


@pytest.mark.slow
def test_terms_are_shown_before_the_download(hub: HubServer, fetch: Run) -> None:
    hub.faults.statuses = {"/storage/": 500}
    code, _, err = fetch()
    assert code == 1
    assert "licence: none is stated (the release's card says: unknown). All rights stay with the authors" in err
    assert "says:\n  license: unknown\n  - **License:** unknown [31m\n" in err and "\x1b" not in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("licence", "said"),
    [
        (None, "licence: none is stated (the release's card names none)"),
        ("cc-by-4.0", "licence: cc-by-4.0, as the release's card states"),
        ("x\ny = 1", "licence: xy = 1, as the release's card states"),
    ],
)
def test_what_the_hub_says_of_the_licence_today(hub: HubServer, fetch: Run, licence: str | None, said: str) -> None:
    hub.release.licence = licence
    del hub.release.files["README.md"]
    code, _, err = fetch("--date", "2021-08-23")
    assert code == 0 and said in err and "its card says nothing of a licence" in err
    assert said in remarks() and load_run_file(Path("season/campaign.toml"))


def test_the_campaign_is_the_paper_s_and_lists_every_image(hub: HubServer, fetch: Run) -> None:
    assert fetch()[0] == 0
    params, _ = load_run_file(Path("season/campaign.toml"))
    assert (params.campaign, params.dates, params.adjust.rule) == ("growliflower-field2", PAPER_DATES, "paper")
    listing = params.source.list_images(params.dates)
    assert {image.path for image in listing.images} == hub.release.image_names("Field2", *PAPER_DATES)
    assert listing.left_out == () and {image.split for image in listing.images} == {"train", "val", "test"}
    assert not any("hidden" in note for note in listing.notes) and not Path("season/GrowliFlower/.cache").exists()


def test_one_date_then_another(hub: HubServer, fetch: Run) -> None:
    first, later = hub.release.image_names("Field2", PAPER_DATES[0]), hub.release.image_names("Field2", LATER)
    assert fetch("--date", "2021-08-23", "--date", "2021-08-23")[0] == 0
    assert files_of().keys() == hub.fetched() == first | LISTS
    params, _ = load_run_file(Path("season/campaign.toml"))
    assert params.dates == PAPER_DATES[:1] and params.adjust.rule != "paper"
    assert len(params.source.list_images(params.dates).images) == len(first) == 6
    code, out, _ = fetch("--date", "2021-09-08")
    assert code == 0 and hub.fetched() == later and files_of().keys() == first | later | LISTS
    assert "season/campaign.toml was there and stays as it is" in out
    assert load_run_file(Path("season/campaign.toml"))[0].dates == PAPER_DATES[:1]


def test_another_field(hub: HubServer, fetch: Run) -> None:
    code, out, _ = fetch("--field", "Field1", "--json")
    found = json.loads(out)
    assert code == 0 and found["dates"] == ["2021-08-23"] and found["n_images"] == 3
    assert hub.fetched() == hub.release.image_names("Field1", PAPER_DATES[0]) | LISTS
    params, _ = load_run_file(Path("season/campaign.toml"))
    assert params.campaign == "growliflower-field1" and params.adjust.rule != "paper"


def test_a_second_run_fetches_nothing(hub: HubServer, fetch: Run) -> None:
    fetch()
    before = files_of() | {"campaign": Path("season/campaign.toml").read_bytes()}
    code, out, _ = fetch("--json")
    found: dict[str, Any] = json.loads(out)
    assert code == 0 and hub.sent == {} and {method for method, _ in hub.asked} == {"GET", "POST"}
    assert (found["n_fetched"], found["n_kept"], found["bytes_fetched"], found["replaced"]) == (0, 26, 0, [])
    assert found["campaign_is_written"] and found["revision"] == REVISION and found["licence"] == "unknown"
    assert files_of() | {"campaign": Path("season/campaign.toml").read_bytes()} == before


def test_missing_and_damaged_files_are_fetched_again_and_told(hub: HubServer, fetch: Run) -> None:
    fetch()
    flipped, short, gone, *_ = sorted(hub.release.image_names("Field2", PAPER_DATES[1]))
    root = Path("season/GrowliFlower")
    content, times = (root / flipped).read_bytes(), (root / flipped).stat()
    (root / flipped).write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])
    os.utime(root / flipped, ns=(times.st_atime_ns, times.st_mtime_ns))
    (root / short).write_bytes((root / short).read_bytes()[:-7])
    (root / gone).unlink()
    code, out, err = fetch()
    assert code == 0 and hub.fetched() == {flipped, short, gone}
    assert f"2 files ({flipped}, {short}) are there with other bytes than the release has: fetched again" in err
    assert "3 files fetched" in out
    assert files_of() == {n: hub.release.files[n] for n in hub.release.image_names("Field2", *PAPER_DATES) | LISTS}


@pytest.mark.slow
def test_a_sample_whose_file_the_release_lacks_is_told(hub: HubServer, fetch: Run) -> None:
    lost = min(hub.release.image_names("Field2", PAPER_DATES[1]))
    del hub.release.files[lost]
    code, out, _ = fetch()
    assert code == 0 and f"1 file ({lost}) is in samples.json and not in the release" in out
    params, _ = load_run_file(Path("season/campaign.toml"))
    assert [(one.path, one.reason) for one in params.source.list_images(params.dates).left_out] == [
        (lost, "missing_file")
    ]


@pytest.mark.slow
def test_samples_without_splits(hub: HubServer, fetch: Run) -> None:
    listed = json.loads(hub.release.files["samples.json"])
    for one in listed["samples"]:
        one["tags"] = []
    hub.release.files["samples.json"] = json.dumps(listed).encode()
    code, out, _ = fetch("--date", "2021-08-23")
    said = "The samples state no splits, so plants are drawn"
    assert code == 0 and said in out and said in remarks()
    params, _ = load_run_file(Path("season/campaign.toml"))
    assert {image.split_source for image in params.source.list_images(params.dates).images} == {"own"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--field", "Field3"), "samples.json has no reference sample of Field3"),
        (("--date", "2021-08-24"), "no image for 2021-08-24; dates available: 2021-08-23, 2021-08-25"),
    ],
)
def test_a_field_or_date_that_is_not_there(fetch: Run, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = fetch(*arguments)
    assert (code, out) == (2, "") and said in error_of(err)
    assert files_of().keys() == LISTS and not Path("season/campaign.toml").exists()


def test_no_room(hub: HubServer, fetch: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = sum(len(hub.release.files[name]) for name in hub.release.image_names("Field2", *PAPER_DATES))
    monkeypatch.setattr("flows.cli.preparing.fetch.free_bytes", lambda _: needed - 1)
    code, _, err = fetch()
    assert code == 2 and f"season/GrowliFlower has {(needed - 1) / 1000:.1f} kB free" in error_of(err)
    assert files_of().keys() == LISTS


def test_a_file_in_place_of_the_folder(hub: HubServer, fetch: Run) -> None:
    Path("season").write_text("mine")
    code, _, err = fetch()
    assert code == 2 and "season is a file" in error_of(err) and hub.asked == []
    assert Path("season").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        ({"/api/": 404}, "has no data set Voxel51/GrowliFlower"),
        ({"/api/": 401}, "with 401"),
        ({"/datasets/": 429}, "with 429"),
        ({"/storage/": 403}, "with 403"),
        ({"/storage/": 503}, "with 503"),
    ],
)
def test_a_hub_that_refuses(hub: HubServer, fetch: Run, statuses: dict[str, int], said: str) -> None:
    hub.faults.statuses = statuses
    code, out, err = fetch("--json")
    assert code == 1 and said in error_of(err) and json.loads(out)["error"]["exit_code"] == 1
    hub.faults.statuses = {}
    kept = hub.fetched() & files_of().keys()
    assert fetch()[0] == 0 and not hub.fetched() & kept
    assert files_of().keys() == hub.release.image_names("Field2", *PAPER_DATES) | LISTS


def test_a_hub_that_dies_in_the_middle(hub: HubServer, fetch: Run) -> None:
    """What it gave before stays, and is not asked for again."""
    first, *others = sorted(hub.release.image_names("Field2", *PAPER_DATES))
    hub.faults.statuses = {f"/storage/{name}": 503 for name in others[8:]}
    code, _, err = fetch()
    assert code == 1 and "with 503" in error_of(err) and not Path("season/campaign.toml").exists()
    kept = files_of().keys()
    assert first in kept and kept > LISTS
    hub.faults.statuses = {}
    assert fetch()[0] == 0 and hub.fetched() == {first, *others} - kept


@pytest.mark.slow
def test_no_samples_and_no_hub(hub: HubServer, fetch: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    del hub.release.files["samples.json"]
    code, _, err = fetch()
    assert code == 1 and "Voxel51/GrowliFlower has no samples.json at revision 0123456789" in error_of(err)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    code, _, err = fetch()
    assert code == 1 and "cannot be reached" in error_of(err)


def start_fetch() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "flows.cli", "fetch", "growliflower", "season", "--date", "2021-08-23"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_a_killed_download_goes_on(hub: HubServer, fetch: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process is killed while one answer stands still; the next one fetches that file and no finished one."""
    *_, hung = sorted(hub.release.image_names("Field2", PAPER_DATES[0]))
    hub.faults.hanging = {hung}
    child = start_fetch()
    assert hub.stopped.wait(120)
    n_others = len(hub.release.image_names("Field2", PAPER_DATES[0]) | LISTS) - 1
    while len(files_of()) < n_others:
        assert child.poll() is None and not hub.ended.wait(0.05)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert hung not in files_of() and list(Path("season").rglob("*.incomplete"))
    hub.faults.hanging = set()
    code, _, err = fetch("--date", "2021-08-23")
    assert code == 0 and hub.sent == {hung: len(hub.release.files[hung])}
    assert "5 are there" in err and not Path("season/GrowliFlower/.cache").exists()
    assert files_of().keys() == hub.release.image_names("Field2", PAPER_DATES[0]) | LISTS
    assert main(monkeypatch, "look", "season/campaign.toml") == 0


@pytest.mark.slow
def test_ctrl_c_stops_a_download_that_stands_still(hub: HubServer) -> None:
    hub.faults.hanging = hub.release.image_names("Field2", PAPER_DATES[0])
    child = start_fetch()
    assert hub.stopped.wait(120)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130 and b"run the same command again" in err and b"Traceback" not in err


@pytest.mark.slow
def test_offline_and_the_client_s_import(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    child = start_fetch()
    _, err = child.communicate(timeout=60)
    assert child.returncode == 1 and is_one_message(err.decode()) and b"HF_HUB_OFFLINE forbids" in err
    assert hub.asked == []
