"""Files of a hub: right bytes or a clear error, through the real client and a server that speaks its protocol."""

import os
import subprocess
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest

from storage.places.faults import WriteError
from storage.places.hub import SETTINGS, HubError, HubFile, describe_files, fetch_files, find_dataset, right_files
from tests.support.hub_servers import REPOSITORY, REVISION, HubServer, Release, running_hub
from tests.support.object_servers import free_port
from tests.unit.storage.places.test_faults import largest_file

LARGE, SMALL = "data/data_21/a plant (1).png", "samples.json"
FILES = {LARGE: bytes(range(256)) * 9, SMALL: b'{"samples": []}', "data/other.png": b"other"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[HubServer]:
    """Return a running hub, which the client's environment names."""
    for name in (*SETTINGS, "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "")  # so that what the module sets ends with the test
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("time.sleep", lambda _: None)  # between tries of a request
    with running_hub(Release(dict(FILES))) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"{server.url}/")
        yield server


def fetch(folder: Path, *names: str) -> list[str]:
    """Fetch files, and return the names that were told, sorted."""
    dataset = find_dataset(REPOSITORY)
    told: list[HubFile] = []
    fetch_files(dataset, describe_files(dataset, names).values(), folder, told.append)
    return sorted(one.name for one in told)


def test_what_the_hub_states(hub: HubServer) -> None:
    dataset = find_dataset(REPOSITORY)
    assert (dataset.revision, dataset.licence, dataset.endpoint) == (REVISION, "unknown", hub.url)
    found = describe_files(dataset, [LARGE, SMALL, "gone.png"])
    assert {name: file.size for name, file in found.items()} == {LARGE: len(FILES[LARGE]), SMALL: len(FILES[SMALL])}
    assert found[LARGE].sha256 and not found[SMALL].sha256
    named = subprocess.run(["git", "hash-object", "--stdin"], input=FILES[SMALL], capture_output=True, check=True)
    assert found[SMALL].blob == named.stdout.decode().strip()
    hub.release.licence = None
    assert find_dataset(REPOSITORY).licence == ""


def test_many_files_are_described_in_few_requests(hub: HubServer) -> None:
    names = [f"data/{i}.png" for i in range(1001)]
    hub.release.files |= {name: name.encode() for name in names}
    dataset = find_dataset(REPOSITORY)
    hub.forget()
    assert list(describe_files(dataset, names)) == names
    assert [method for method, _ in hub.asked] == ["POST"] * 3


def test_plain_files_with_the_bytes_of_the_release(hub: HubServer, tmp_path: Path) -> None:
    assert fetch(tmp_path, LARGE, SMALL) == sorted([LARGE, SMALL])
    for name in (LARGE, SMALL):
        path = tmp_path / name
        assert path.read_bytes() == FILES[name] and not path.is_symlink()
    assert hub.sent == {name: len(FILES[name]) for name in (LARGE, SMALL)}


def test_a_token_is_shown_to_the_hub_and_to_nobody_else(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch(tmp_path, LARGE)
    assert hub.tokens == {("127.0.0.1", "Bearer hf_secret"), ("localhost", "")}


def test_only_the_right_bytes_are_right(hub: HubServer, tmp_path: Path) -> None:
    files = describe_files(find_dataset(REPOSITORY), [LARGE, SMALL])
    fetch_files(find_dataset(REPOSITORY), files.values(), tmp_path, lambda _: None)
    assert right_files(files.values(), tmp_path) == {LARGE, SMALL}
    for name, file in files.items():
        path, content = tmp_path / name, FILES[name]
        for wrong in (content[:-1], content + b"x", b"", content[:-1] + bytes([content[-1] ^ 1])):
            path.write_bytes(wrong)
            assert not file.is_at(path)
        path.unlink()
        assert not file.is_at(path)
        path.mkdir()
        assert not file.is_at(path)


@pytest.mark.parametrize("name", [LARGE, SMALL])
def test_a_damaged_file_is_fetched_again_whatever_its_time(hub: HubServer, tmp_path: Path, name: str) -> None:
    """The client itself takes a file for right that is not newer than its own note."""
    fetch(tmp_path, name)
    path = tmp_path / name
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    fetch(tmp_path, name)
    assert path.read_bytes() == FILES[name]


def test_a_cut_answer_continues_where_it_ended(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 128)  # of 10 MB: what is written at once
    hub.faults.cut += [LARGE, LARGE]
    fetch(tmp_path, LARGE)
    assert (tmp_path / LARGE).read_bytes() == FILES[LARGE]
    assert len(FILES[LARGE]) <= hub.sent[LARGE] < len(FILES[LARGE]) + 2 * 128  # what was written is not sent again


@pytest.mark.parametrize("status", [429, 503])
def test_passing_refusals_are_tried_again(hub: HubServer, tmp_path: Path, status: int) -> None:
    hub.faults.passing += [status] * 4
    fetch(tmp_path, LARGE)
    assert (tmp_path / LARGE).read_bytes() == FILES[LARGE]


@pytest.mark.parametrize("status", [429, 503, 0])
def test_descriptions_are_asked_for_again(hub: HubServer, status: int) -> None:
    """A hub refuses twice, or closes the connection, and then answers."""
    hub.faults.passing_api = [status] * 2
    dataset = find_dataset(REPOSITORY)
    hub.faults.passing_api = [status] * 2
    assert describe_files(dataset, [LARGE]).keys() == {LARGE}
    assert [method for method, _ in hub.asked] == ["GET"] * 3 + ["POST"] * 3


@pytest.mark.parametrize(("status", "n_asked"), [(401, 1), (500, 4)])
def test_what_does_not_pass_is_not_asked_for_forever(hub: HubServer, status: int, n_asked: int) -> None:
    hub.faults.statuses = {"/api/": status}
    with pytest.raises(HubError, match=f"with {status}"):
        find_dataset(REPOSITORY)
    assert len(hub.asked) == n_asked


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        ({"/api/": 404}, "has no data set Voxel51/GrowliFlower, or does not show it without a token"),
        ({"/api/": 401}, "with 401: .*correct HF_TOKEN"),
        ({"/api/": 403}, "with 403: .*HF_TOKEN"),
        ({"/api/": 429}, "with 429: .*wait five minutes"),
        ({"/api/": 500}, "with 500: .*wait some minutes"),
        ({"/datasets/": 401}, "with 401: .*correct HF_TOKEN"),
        ({"/datasets/": 503}, "with 503: .*wait some minutes"),
        ({"/storage/": 403}, r"with 403: http://localhost:\d+/storage/[^?]*\n.*HF_TOKEN"),
        ({"/storage/": 500}, "with 500: .*wait some minutes"),
    ],
)
def test_a_hub_that_refuses(hub: HubServer, tmp_path: Path, statuses: dict[str, int], said: str) -> None:
    hub.faults.statuses = statuses
    with pytest.raises(HubError, match=f"(?s){said}.*run the same command again") as raised:
        fetch(tmp_path, LARGE)
    assert str(raised.value).count("\n") == 2  # finding, rule, remedy
    assert not (tmp_path / LARGE).exists()


def test_a_file_that_is_gone_meanwhile(hub: HubServer, tmp_path: Path) -> None:
    dataset = find_dataset(REPOSITORY)
    files = describe_files(dataset, [LARGE])
    del hub.release.files[LARGE]
    with pytest.raises(HubError, match="with 404"):
        fetch_files(dataset, files.values(), tmp_path, lambda _: None)


def test_a_page_in_place_of_a_hub(hub: HubServer, tmp_path: Path) -> None:
    dataset = find_dataset(REPOSITORY)
    files = describe_files(dataset, [SMALL])
    hub.faults.page = True
    with pytest.raises(HubError, match=r"does not answer as a hub does .*\n.*\n.*whether the network wants a login"):
        find_dataset(REPOSITORY)
    with pytest.raises(HubError, match="does not answer as a hub does"):
        fetch_files(dataset, files.values(), tmp_path, lambda _: None)


def test_no_hub_at_all(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = find_dataset(REPOSITORY)
    files = describe_files(dataset, [LARGE])
    nowhere = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("HF_ENDPOINT", nowhere)
    with pytest.raises(HubError, match=rf"(?s){nowhere} cannot be reached \(ConnectError.*look at the network"):
        find_dataset(REPOSITORY)
    with pytest.raises(HubError, match=f"{nowhere} cannot be reached"):
        fetch_files(replace(dataset, endpoint=nowhere), files.values(), tmp_path, lambda _: None)


def test_offline(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    find_dataset(REPOSITORY)
    hub.forget()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # what the client read at its import
    with pytest.raises(HubError, match="HF_HUB_OFFLINE forbids"):
        find_dataset(REPOSITORY)
    assert hub.asked == []


def test_bytes_that_are_damaged_on_the_way_do_not_stay(hub: HubServer, tmp_path: Path) -> None:
    hub.faults.damaged = {LARGE}
    with pytest.raises(HubError, match="sent other bytes of data/data_21/a plant"):
        fetch(tmp_path, LARGE)
    assert not (tmp_path / LARGE).exists()
    hub.faults.damaged = set()
    fetch(tmp_path, LARGE)
    assert (tmp_path / LARGE).read_bytes() == FILES[LARGE]


def test_a_full_disk_is_told_and_what_was_finished_stays(hub: HubServer, tmp_path: Path) -> None:
    dataset = find_dataset(REPOSITORY)
    files = describe_files(dataset, [SMALL, LARGE])
    with (
        pytest.raises(WriteError, match=r"File data/data_21/a plant \(1\).png could not be written"),
        largest_file(1000),
    ):
        fetch_files(dataset, files.values(), tmp_path, lambda _: None)
    assert right_files(files.values(), tmp_path) <= {SMALL} and not list(tmp_path.rglob("*.incomplete"))
    fetch_files(dataset, files.values(), tmp_path, lambda _: None)
    assert right_files(files.values(), tmp_path) == {SMALL, LARGE}


@pytest.mark.parametrize("name", ["../mine.png", "data/../../mine.png", "{outside}/mine.png"])
def test_names_that_lead_out_of_the_folder(hub: HubServer, tmp_path: Path, name: str) -> None:
    """A file outside is neither replaced nor removed."""
    name = name.format(outside=tmp_path)
    hub.release.files[name] = b"evil"
    (tmp_path / "mine.png").write_bytes(b"mine")
    with pytest.raises(HubError, match="would lie outside"):
        fetch(tmp_path / "folder", name)
    hub.faults.unasked = [name]
    assert fetch(tmp_path / "folder", LARGE) == [LARGE]
    assert (tmp_path / "mine.png").read_bytes() == b"mine"
