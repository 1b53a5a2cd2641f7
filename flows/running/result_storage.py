"""Where Prefect keeps the results of cached tasks: in the store, so that other machines and Prefect homes find them."""

from pathlib import Path
from typing import Any

from prefect.exceptions import ObjectAlreadyExists
from prefect.filesystems import WritableFileSystem

from storage.artifacts import Store, content_digest
from storage.places.files import write_atomically


class StoreRecords(WritableFileSystem):
    """Records of cached tasks in a store, by their plain names.

    Prefect calls the plain methods with `_sync`, and those with an `a` before their names from where it awaits.

    Attributes
    ----------
    store : address of the store; credentials are those of the process.
    """

    store: str

    def _resolve_path(self, path: str) -> None:
        """Prefect would else make local paths of the names."""

    def read_path(self, path: str, _sync: bool = True) -> bytes:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Content of a record.

        Raises
        ------
        FileNotFoundError, OSError : there is none, or the request failed.
        """
        return (Store(self.store).results_folder / path).read_bytes()

    def write_path(self, path: str, content: bytes, _sync: bool = True) -> None:  # pyright: ignore
        """Write a record, whole or not at all."""
        write_atomically(Store(self.store).results_folder / path, content)

    async def aread_path(self, path: str) -> bytes:
        """As `read_path`."""
        return self.read_path(path)

    async def awrite_path(self, path: str, content: bytes) -> None:
        """As `write_path`."""
        self.write_path(path, content)


def result_storage(store: Store) -> Any:
    """The result storage of tasks that write into a store.

    Prefect takes a folder as it is, anything else only as a block that its server knows; that one holds an address and
    no secret.
    """
    folder = store.results_folder
    if isinstance(folder, Path):
        return folder
    records, name = StoreRecords(store=store.address), f"harvest-{content_digest(store.address)}"
    try:
        records.save(name, overwrite=True)
    except ObjectAlreadyExists:  # another run has made it at the same moment
        records.save(name, overwrite=True)
    return records
