"""Faults that may pass, and places that cannot take a file: what was written, where, why, how much room there is."""

import errno
import os
import pickle
import resource
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.artifacts import ArtifactRef, Recipe, Store
from storage.errors import ArtifactError, AwayError, InputError
from storage.places.faults import WriteError, free_bytes, is_away, is_passing, writing
from storage.places.files import write_atomically
from storage.records.acquisitions import read_acquisition
from storage.records.campaigns import read_record
from storage.tables import REJECTED
from storage.tables.parquet import rows_to_columns, write_table


@contextmanager
def largest_file(n_bytes: int) -> Generator[None]:
    """Let the system refuse longer files, as a full disk would; it needs no rights."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_does_not_fit_is_named_and_the_old_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "campaigns/field.json"
    write_atomically(path, b"old")
    with pytest.raises(WriteError) as raised, largest_file(1000):
        write_atomically(path, b"x" * 2000)
    said = str(raised.value)
    assert said.startswith(f"File field.json could not be written into {tmp_path / 'campaigns'}: the file is larger")
    assert "free, 2.0 kB needed)" in said and "run the same command again" in said
    assert path.read_bytes() == b"old" and [one.name for one in path.parent.iterdir()] == ["field.json"]


@pytest.mark.parametrize("how", ["bytes", "table"])
def test_an_artefact_that_does_not_fit_is_named_and_leaves_nothing(how: str, tmp_path: Path) -> None:
    store, recipe = Store(tmp_path), Recipe("images", 1, {"how": how})
    rows = [{"plant_id": f"{i}" * 50, "path": f"{i}.png", "reason": "blank", "detail": ""} for i in range(900)]
    with pytest.raises(WriteError, match=rf"Artefact {recipe.ref} could not be written into"), largest_file(1000):  # noqa: SIM117
        with store.create(recipe) as draft:
            if how == "bytes":
                draft.write_bytes("weights.pt", bytes(2000))
            else:
                write_table(draft, REJECTED, rows_to_columns(REJECTED, rows))
    assert not store.holds(recipe.ref) and list((tmp_path / "artifacts/images").iterdir()) == []
    with store.create(recipe) as draft:  # room was made
        draft.write_bytes("weights.pt", bytes(2000))
    assert store.holds(recipe.ref)


def test_the_system_knows_no_name_where_a_disk_is_full(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with (
        pytest.raises(WriteError, match=r"Map could not be written into .*: the disk is full \("),
        writing("Map", tmp_path),
        Path("/dev/full").open("wb") as full,
    ):
        full.write(bytes(10**6))


def test_other_errors_and_those_that_have_a_name_stay_as_they_are(tmp_path: Path) -> None:
    named = WriteError(errno.ENOSPC, "File a")
    for error in (named, FileNotFoundError(errno.ENOENT, "gone"), ValueError("no")):
        with pytest.raises(type(error)) as raised, writing("Artefact b", tmp_path):
            raise error
        assert raised.value is error


def test_the_message_reaches_another_process() -> None:
    error = pickle.loads(pickle.dumps(WriteError(errno.EROFS, "File a\n  rule: b")))
    assert str(error) == "File a\n  rule: b" and error.errno == errno.EROFS and isinstance(error, OSError)


def test_free_bytes_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    found = [free_bytes(tmp_path / "a/b"), shutil.disk_usage(tmp_path).free]
    assert abs(found[0] - found[1]) < 10**9 and found[0] > 0


def error_of(act: Callable[[], object]) -> BaseException:
    with pytest.raises(Exception) as raised:  # noqa: PT011
        act()
    return raised.value


def test_a_disk_that_does_not_answer_may_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "acquisitions/field/2021-08-23/fit.json"
    record.parent.mkdir(parents=True)
    ref = ArtifactRef(kind="images", digest="0")
    manifest = Store(tmp_path).folder(ref) / "manifest.json"
    assert isinstance(manifest, Path)
    manifest.parent.mkdir(parents=True)
    for damaged in (record, manifest):
        damaged.write_text("{")

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as silent:
        silent.setattr(os, "fstat", fail)  # as a network share whose server is gone
        errors = [error_of(lambda: read_acquisition(record)), error_of(lambda: Store(tmp_path).open(ref))]
    assert [type(one) for one in errors] == [ArtifactError, OSError]
    assert [is_passing(one) for one in errors] == [True] * 2
    errors = [error_of(lambda: read_acquisition(record)), error_of(lambda: Store(tmp_path).open(ref))]
    assert [(type(one), is_passing(one)) for one in errors] == [(ArtifactError, False)] * 2


def test_what_may_pass_and_what_needs_a_person(tmp_path: Path) -> None:
    away, wrong = AwayError("a", "b", "c"), InputError("a", "b", "c")
    passing = [
        OSError(number, "") for number in (errno.ENOSPC, errno.ESTALE, errno.ENOTCONN, errno.EACCES, errno.ENOENT)
    ]
    passing += [away, WriteError(errno.EROFS, "full"), OSError("s3://bucket: error sending request")]
    passing += [ExceptionGroup("", [away, passing[0]]), pickle.loads(pickle.dumps(away))]
    for_a_person = [wrong, OSError(errno.EFBIG, ""), OSError(errno.EINVAL, ""), PermissionError("s3://bucket: 403")]
    for_a_person += [ValueError(), ArtifactError("never finished"), ExceptionGroup("", [away, wrong])]
    assert [is_passing(one) for one in passing] == [True] * len(passing)
    assert [is_passing(one) for one in for_a_person] == [False] * len(for_a_person)


def test_a_store_that_is_not_mounted_is_no_store_without_the_campaign(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    errors = [error_of(lambda: read_record(store, "field"))]
    (tmp_path / "store").mkdir()
    errors.append(error_of(lambda: read_record(store, "field")))
    assert [(type(one), is_away(tmp_path / "store")) for one in errors] == [(AwayError, True)] * 2
    (tmp_path / "store/reports").mkdir()
    assert type(error_of(lambda: read_record(store, "field"))) is InputError and not is_away(tmp_path / "store")
