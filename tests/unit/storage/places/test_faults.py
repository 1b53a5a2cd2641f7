"""Places that cannot take a file: what was written, where, why, and how much room there is."""

import errno
import pickle
import resource
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.artifacts import Recipe, Store
from storage.places.faults import WriteError, free_bytes, writing
from storage.places.files import write_atomically
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
