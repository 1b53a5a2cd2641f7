"""Keep Prefect's records of cached tasks in the store, so that other machines and Prefect homes find them.

Prefect unpickles a record if the record says so. It is therefore never given a record's own bytes, but a new record of
the references in it. See `storage.records.results`.
"""

import logging

from prefect.exceptions import ObjectAlreadyExists
from prefect.filesystems import WritableFileSystem
from prefect.results import ResultStore
from prefect.serializers import JSONSerializer

from storage.artifacts import Store, content_digest
from storage.places.files import write_atomically
from storage.records.results import RefusedRecordError, read_references

LOG = logging.getLogger(__name__)  # its warnings are shown on the terminal by flows/cli/options.py


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
        """Read a record's references, and return them as the content of a new record.

        Prefect takes every error for a missing record. The task then runs again and replaces the record.

        Raises
        ------
        FileNotFoundError, OSError : there is no such record, or the request failed.
        RefusedRecordError : the record holds something other than references to its own artefacts.
        """
        try:
            refs = read_references(Store(self.store), path)
        except RefusedRecordError as error:
            LOG.warning("%s", error)
            raise
        results = ResultStore(result_storage=self, serializer=JSONSerializer())
        return results.create_result_record(refs, path).serialize()

    def write_path(self, path: str, content: bytes, _sync: bool = True) -> None:  # pyright: ignore
        """Write a record atomically: readers see all of it or none."""
        write_atomically(Store(self.store).results_folder / path, content)

    async def aread_path(self, path: str) -> bytes:
        """Read a record's references, called by asynchronous code; see `read_path`."""
        return self.read_path(path)

    async def awrite_path(self, path: str, content: bytes) -> None:
        """Write a record atomically, called by asynchronous code; see `write_path`."""
        self.write_path(path, content)


def result_storage(store: Store) -> StoreRecords:
    """Return the result storage of tasks that write into a store.

    Prefect needs a block that its server knows; the block holds the store's address and no secret.
    """
    records, name = StoreRecords(store=store.address), f"harvest-{content_digest(store.address)}"
    try:
        records.save(name, overwrite=True)
    except ObjectAlreadyExists:  # another run has saved the block at the same moment
        records.save(name, overwrite=True)
    return records
