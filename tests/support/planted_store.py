"""Plant hostile and damaged files in a whole store, and count what each reader makes of them.

`python -m tests.support.planted_store --changes 300` prints the table, and ends with 1 where a reader fails.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flows.cli.listing import list_store
from storage.arrays.specs import IMAGES
from storage.arrays.zarr_files import read_array
from storage.artifacts import MANIFEST
from storage.errors import ArtifactError, InputError
from storage.garbage import find_garbage
from storage.published.manifests import read_published
from storage.published.publish import partition, table_manifest
from storage.records.acquisitions import AcquisitionRecord, fit_digest, read_acquisition, write_acquisition
from storage.records.arrivals import arrival_path, read_arrival, write_arrival
from storage.records.campaigns import read_record
from storage.records.checks import Check, CheckedFile, keep_checks, read_checked_file
from storage.records.notices import keep_notice
from storage.records.results import read_references, record_name
from storage.records.reviews import Review, keep_review, list_reviews, read_review
from storage.records.scored import find_whole_acquisition
from storage.tables import DECIDED, PLANTS
from storage.tables.parquet import iter_table, load_table
from storage.verify import verify_store
from tests.support.documented_store import CAMPAIGN, write_documented_store
from tests.support.hostile import NO_FILES, Content, changed_bytes, changed_texts, hostile_bytes, hostile_texts
from tests.support.local_stores import local
from tests.support.planted_records import plant, reference, true_record

NOW = datetime(2026, 11, 30, tzinfo=UTC)
CHECKED, LATER = date(2021, 8, 23), date(2021, 9, 10)
SECRET = "the content of a file elsewhere"
SECONDS = 20  # after which a reader counts as hanging
Reader = Callable[[], Any]


@dataclass
class PlantedStore:
    """A store with a file of every kind, and what lies beside it.

    Attributes
    ----------
    files : path and readers of a file of each kind.
    """

    folder: Path
    files: dict[str, tuple[Path, dict[str, Reader]]] = field(default_factory=dict[str, tuple[Path, dict[str, Reader]]])

    def __post_init__(self) -> None:
        (self.folder / "outside").mkdir(parents=True)
        self.secret, self.executed = self.folder / "outside/secret", self.folder / "executed"
        self.secret.write_text(SECRET)
        campaign = write_documented_store(self.folder / "store")
        self.store = campaign.store
        self._keep_records()
        self._name_files()

    def _keep_records(self) -> None:
        """Write a record of each kind beside those of a campaign."""
        store, fitted = self.store, read_record(self.store, CAMPAIGN)
        of_day = {role: ref for role, ref in fitted.artifacts.items() if role.endswith(str(CHECKED))}
        names: dict[str, Any] = {"campaign": "later", "fitted_by": CAMPAIGN, "fit": fit_digest(fitted.artifacts)}
        self.scored = AcquisitionRecord(**names, date=LATER, params=fitted.params, artifacts=of_day)
        self.acquisition = local(write_acquisition(store, self.scored))
        scores = fitted.artifacts["scores gradcam"]
        said: dict[str, Any] = {"reviewer": "A", "reason": "B", "decided": NOW}
        keep_review(store, Review(campaign=CAMPAIGN, method="gradcam", scores=scores, choices={1: "swap"}, **said))
        found = {"found": "ready", "checked_by": "A", "checked_at": NOW, "remark": "", "method": "gradcam"}
        found |= {"answer": "ready", "answer_reliability": 0.9, "decision": "harvest", "is_audit": True}
        check = Check.model_validate({"campaign": CAMPAIGN, "date": CHECKED, "plant_id": "x", **found})
        sheet: dict[str, Any] = {"file": "x.csv", "sha256": "a" * 64, "imported_by": "A", "imported_at": NOW}
        self.checks = local(keep_checks(store, CheckedFile(campaign=CAMPAIGN, date=CHECKED, checks=[check], **sheet)))
        write_arrival(store, CAMPAIGN, LATER, {"files": {"a": [1, 2]}})
        keep_notice(store, {"time": "2021-01-01T00:00:00+00:00", "id": "x", "flow_run": "a", "state": "Failed"})
        self.plants = fitted.artifacts["plants"]
        self.result = record_name([self.plants])
        plant(store, self.result, true_record(json.dumps(reference(self.plants))))
        self.images = store.open(fitted.artifacts[f"images {CHECKED}"])

    def _name_files(self) -> None:
        store, root, images = self.store, local(self.store.root), self.images
        table = local(store.open(self.plants).folder) / "plants.parquet"
        review = local(next(list_reviews(store)))
        published = local(table_manifest(store, partition(store, DECIDED, CAMPAIGN, CHECKED)))
        report, array = root / "reports" / CAMPAIGN / MANIFEST, local(images.folder) / IMAGES.name
        shard = next(path for path in sorted((array / "c").rglob("*")) if path.is_file())
        whole = self._whole
        self.files = {
            "campaign": (root / f"campaigns/{CAMPAIGN}.json", {"read": lambda: read_record(store, CAMPAIGN), **whole}),
            "scored date": (
                self.acquisition,
                {
                    "read": lambda: read_acquisition(self.acquisition),
                    "whole": lambda: find_whole_acquisition(store, "later", LATER, self.scored.fit),
                    **whole,
                },
            ),
            "review": (review, {"read": lambda: read_review(review), **whole}),
            "checks": (self.checks, {"read": lambda: read_checked_file(self.checks), **whole}),
            "arrival": (
                local(arrival_path(store, CAMPAIGN, LATER)),
                {"read": lambda: read_arrival(store, CAMPAIGN, LATER), **whole},
            ),
            "notices": (root / "notices.jsonl", {"list": self._whole["list"]}),
            "cached result": (
                root / "prefect-results" / self.result,
                {"read": lambda: read_references(store, self.result), **whole},
            ),
            "manifest": (
                local(store.folder(self.plants)) / MANIFEST,
                {"read": lambda: store.open(self.plants), "damage": lambda: store.damage(self.plants), **whole},
            ),
            "report's manifest": (report, {"read": lambda: read_published(report), **whole}),
            "table's manifest": (published, {"read": lambda: read_published(published), **whole}),
            "listing": (
                local(images.folder) / "listing.json",
                {"read": lambda: images.read_json("listing.json"), **whole},
            ),
            "table": (
                table,
                {
                    "read": lambda: load_table(table, PLANTS).to_pylist(),
                    "rows": lambda: list(iter_table(store.open(self.plants), PLANTS)),
                    **whole,
                },
            ),
            "array": (array / "zarr.json", {"read": lambda: read_array(images, IMAGES), **whole}),
            "shard": (shard, {"read": lambda: read_array(images, IMAGES), **whole}),
        }

    @property
    def _whole(self) -> dict[str, Reader]:
        """Return what reads a whole store."""
        return {
            "verify": lambda: verify_store(self.store),
            "gc": lambda: find_garbage(self.store, NOW, 0, 1),
            "list": lambda: list_store(self.store),
        }

    def contents(self, kind: str, chance: random.Random, n: int) -> Iterator[Content]:
        """Yield contents to plant in place of the file of a kind: those of hostile people, and n changes by chance."""
        raw = self.files[kind][0].read_bytes()
        if kind in ("table", "shard"):
            yield from hostile_bytes(raw, self.executed)
            yield from changed_bytes(raw, chance, n)
        else:
            yield from hostile_texts(raw, self.executed)
            yield from changed_texts(raw, chance, n)
        if kind == "table":
            yield from tables_with_other_metadata(raw)

    def try_all(
        self, kind: str, readers: tuple[str, ...], chance: random.Random, n: int, most: int | None = None
    ) -> Iterator[tuple[str, str]]:
        """Plant contents in place of the file of a kind; yield each reader, and what it did or how it failed.

        Parameters
        ----------
        n : changes by chance.
        most : contents that are drawn from all; None for all.
        """
        path, reading = self.files[kind]
        raw, chosen = path.read_bytes(), {name: read for name, read in reading.items() if name in readers}
        contents = list(self.contents(kind, chance, n))
        for what, content in contents if most is None else chance.sample(contents, most):
            path.unlink()
            path.write_bytes(content)
            for name, read in chosen.items():
                yield name, self.outcome(path, what, read)
        for put in NO_FILES if most is None else NO_FILES[:1]:
            path.unlink()
            put(path, self.secret)
            for name, read in chosen.items():
                yield name, self.outcome(path, put.__name__, read)
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
            path.write_bytes(raw)

    def outcome(self, path: Path, what: str, read: Reader) -> str:
        """Return `read`, `refused`, or how a reader failed."""
        try:
            with at_most(SECONDS):
                found = read()
        except (ArtifactError, InputError) as error:
            said = str(error)
            names_it = path.name in said or path.stem in said or path.parent.name in said or path.parts[-4] in said
            failure = "" if names_it else f"names no file: {said[:300]}"
            failure = "shows a file elsewhere" if SECRET in said else failure
        except BaseException as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            failure = f"{type(error).__name__} in {last.name}: {str(error)[:200]}"
        else:
            return "shows a file elsewhere" if SECRET in str(found) else self._left(what, "read")
        return f"{what}: {failure}" if failure else self._left(what, "refused")

    def _left(self, what: str, outcome: str) -> str:
        """Return the outcome, unless code was run or something outside the store was changed."""
        there = {path.name for path in self.folder.iterdir()}
        is_clean = there == {"outside", "store"} and self.secret.read_text() == SECRET
        return outcome if is_clean and len(list(self.secret.parent.iterdir())) == 1 else f"{what}: obeyed"


def tables_with_other_metadata(raw: bytes) -> Iterator[Content]:
    """Yield a table with metadata that other programs read, and with other versions of its schema."""
    table = pq.ParquetFile(pa.BufferReader(raw)).read()
    pickled = {"index_columns": ["plant_id"], "columns": [{"name": "plant_id", "pandas_type": "object"}]}
    metadata = {b"pandas": json.dumps(pickled).encode(), b"ARROW:schema": b"AAAA", b"\xff": b"\xfe"}
    versions = (b"\xff", b"9" * 5000, "²".encode(), b"-1", b"1e3", b"0", b"")
    for key, value in (*metadata.items(), *((b"harvest_reliability.version", version) for version in versions)):
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), key: value}), sink)
        yield f"{key!r}: {value[:20]!r}", sink.getvalue().to_pybytes()


@contextmanager
def at_most(seconds: int) -> Generator[None]:
    """Raise TimeoutError in this thread where the block takes longer."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"it took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def main() -> None:
    """Print how many files of each kind every reader read, refused, or failed on."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.planted_store", description=__doc__)
    parser.add_argument("--changes", type=int, default=100, help="Changes by chance to each kind of file")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    failures: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        planted = PlantedStore(Path(folder))
        for kind, (_, readers) in planted.files.items():
            counts: Counter[tuple[str, str]] = Counter()
            for reader, what in planted.try_all(kind, tuple(readers), random.Random(given.seed), given.changes):
                counts[reader, what if what in ("read", "refused") else "failed"] += 1
                failures |= set() if what in ("read", "refused") else {f"{kind}, {reader}: {what}"}
            for (reader, what), n in sorted(counts.items()):
                sys.stdout.write(f"{kind:18} {reader:8} {what:8} {n:6}\n")
    sys.stdout.write("\n".join(sorted(failures)))
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
