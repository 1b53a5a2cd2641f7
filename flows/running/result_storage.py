"""Keep Prefect's records of cached tasks in the store, so that other machines and Prefect homes find them."""

from pathlib import Path
from typing import Any

from prefect.exceptions import ObjectAlreadyExists
from prefect.filesystems import WritableFileSystem

from storage.artifacts import Store, content_digest
from storage.places.files import write_atomically


class StoreRecords(WritableFileSystem):
    """Prefect file system that reads and writes the records of cached tasks in a store.

    Prefect calls the plain methods with `_sync`, and the methods whose names begin with `a` from asynchronous code.

    Attributes
    ----------
    store : address of the store. Credentials are those of the process.
    """

    store: str

    def _resolve_path(self, path: str) -> None:
        """Do nothing: Prefect's own method would turn names into local paths."""

    def read_path(self, path: str, _sync: bool = True) -> bytes:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Read a record's content.

        Raises
        ------
        FileNotFoundError, OSError : there is no such record, or the request failed.
        """
        return (Store(self.store).results_folder / path).read_bytes()

    def write_path(self, path: str, content: bytes, _sync: bool = True) -> None:  # pyright: ignore
        """Write a record atomically: readers see all of it or none."""
        write_atomically(Store(self.store).results_folder / path, content)

    async def aread_path(self, path: str) -> bytes:
        """Read a record's content, called by asynchronous code; see `read_path`."""
        return self.read_path(path)

    async def awrite_path(self, path: str, content: bytes) -> None:
        """Write a record atomically, called by asynchronous code; see `write_path`."""
        self.write_path(path, content)


def result_storage(store: Store) -> Any:
    """Return the result storage of tasks that write into a store.

    For a local store it is a folder. For a bucket Prefect needs a block that its server knows; the block holds the
    store's address and no secret.
    """
    folder = store.results_folder
    if isinstance(folder, Path):
        return folder
    records, name = StoreRecords(store=store.address), f"harvest-{content_digest(store.address)}"
    try:
        records.save(name, overwrite=True)
    except ObjectAlreadyExists:  # another run has saved the block at the same moment
        records.save(name, overwrite=True)
    return records
