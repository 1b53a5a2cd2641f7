"""Find and remove what nothing in a store rests on any more: superseded fits of dates, old artefacts, leftovers.

What a campaign's record, a published file or a review names is kept, with everything that it was made from. The rest is
removed once it is old and no run has rested on it since, so that what runs under way have made or found stays.
"""

import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from storage.artifacts import MANIFEST, ArtifactRef, Manifest, Store, read_manifest
from storage.artifacts.drafts import place_of
from storage.artifacts.uses import USES, last_use
from storage.errors import ArtifactError
from storage.places.durable import sync
from storage.places.files import Place, changed_at, list_files, remove_all, remove_file
from storage.published.exports import EXPORTS
from storage.published.manifests import read_published
from storage.published.publish import MANIFESTS_FOLDER
from storage.records.acquisitions import AcquisitionRecord, fit_digest, list_acquisitions, read_acquisition
from storage.records.campaigns import read_record
from storage.records.results import NAME, read_references
from storage.records.reviews import list_reviews, read_review


@dataclass(frozen=True)
class Garbage:
    """What may be removed from a store.

    Attributes
    ----------
    records : records of dates scored by superseded fits.
    artifacts : artefacts that nothing rests on, with their sizes in bytes.
    results : records of cached tasks whose artefacts are gone, or among `artifacts`.
    leftovers : drafts, attempts, work folders and notes of use that runs left, with their sizes in bytes.
    before : time before which all of it was made, and since which no run has rested on it.
    """

    records: list[Place]
    artifacts: dict[ArtifactRef, int]
    results: list[Place]
    leftovers: dict[Place, int]
    before: datetime

    @property
    def n_bytes(self) -> int:
        """Return the bytes of the artefacts and leftovers; files that other artefacts link to are not freed."""
        return sum(self.artifacts.values()) + sum(self.leftovers.values())


def find_garbage(store: Store, now: datetime, days: float, n_fits: int) -> Garbage:
    """Find what nothing in a store rests on.

    Parameters
    ----------
    now : current time, with its zone.
    days : least age of what is removed, in days. It must be longer than a run takes.
    n_fits : fits of a date whose records are kept, the newest first, beside that of its campaign's present fit.

    Raises
    ------
    ArtifactError : a record, review or manifest cannot be read, so that what it rests on is not known.
    AwayError : the store is not there, or no longer.
    """
    before = now - timedelta(days=days)
    records = superseded(store, before, n_fits)
    # Listed before the artefacts: what a run makes meanwhile is not taken for the result of an artefact that is gone.
    names = {name: path for name, path in list_files(store.results_folder).items() if NAME.fullmatch(name)}
    manifests, unreadable = read_manifests(store)
    kept = closure(roots(store, set(records)), manifests)
    store.refuse_absence()  # a store that went away meanwhile names nothing that is kept
    if lost := [said for ref, said in unreadable.items() if ref in kept]:
        raise ArtifactError(lost[0])
    lone = {
        ref: sum(one.size for one in manifest.files.values())
        for ref, manifest in manifests.items()
        if ref not in kept and datetime.fromisoformat(manifest.created) < before and not _is_used(store, ref, before)
    }
    there = set(manifests) - set(lone)
    results = [path for name, path in names.items() if _is_lost(store, name, there)]
    leftovers = {**dict(_leftovers(store, before, manifests)), **dict.fromkeys(_old_notes(store, before), 0)}
    return Garbage(records, lone, results, leftovers, before)


def superseded(store: Store, before: datetime, n_fits: int) -> list[Place]:
    """List records of dates scored by fits that are neither their campaign's present one nor among the newest.

    Raises
    ------
    ArtifactError : a record cannot be read.
    """
    fits: dict[str, str | None] = {}
    found: dict[tuple[str, str], list[tuple[str, Place]]] = {}
    for path in list_acquisitions(store):
        record = read_acquisition(path)
        if record.fitted_by not in fits:
            fits[record.fitted_by] = _present_fit(store, record.fitted_by)
        if record.fit != fits[record.fitted_by]:
            found.setdefault((record.campaign, record.date.isoformat()), []).append((_made(store, record), path))
    old = [sorted(records, key=lambda one: one[0], reverse=True)[n_fits:] for records in found.values()]
    return [path for records in old for made, path in records if made and datetime.fromisoformat(made) < before]


def _present_fit(store: Store, campaign: str) -> str | None:
    path = store.root / "campaigns" / f"{campaign}.json"
    return fit_digest(read_record(store, campaign).artifacts) if path.is_file() else None


def _made(store: Store, record: AcquisitionRecord) -> str:
    """Return when the last artefact of a scored date was made (ISO 8601); empty if one is gone."""
    try:
        return max(store.open(ref).manifest.created for ref in record.artifacts.values())
    except ArtifactError:
        return ""


def roots(store: Store, without: set[Place]) -> Iterator[ArtifactRef]:
    """Yield the artefacts that records, published files and reviews name.

    Parameters
    ----------
    without : records that are not counted.

    Raises
    ------
    ArtifactError : one of these files cannot be read.
    """
    for path in sorted((store.root / "campaigns").glob("*.json")):
        yield from read_record(store, path.stem).artifacts.values()
    for path in list_acquisitions(store):
        if path not in without:
            yield from read_acquisition(path).artifacts.values()
    tables = [path for name, path in list_files(store.root / MANIFESTS_FOLDER).items() if name.endswith(".json")]
    folders = [*(store.root / "reports").glob("*"), *(store.root / EXPORTS).glob("*/*")]
    for path in (*tables, *(folder / MANIFEST for folder in folders)):
        yield from read_published(path).sources
    for path in list_reviews(store):
        yield read_review(path).scores


def closure(refs: Iterable[ArtifactRef], manifests: Mapping[ArtifactRef, Manifest]) -> set[ArtifactRef]:
    """Return some artefacts and everything that they were made from.

    Parameters
    ----------
    manifests : manifests of the artefacts in the store; what is not there has no inputs.
    """
    found: set[ArtifactRef] = set()
    waiting = set(refs)
    while waiting:
        ref = waiting.pop()
        found.add(ref)
        waiting |= set(filter(manifests.__contains__, _inputs(manifests.get(ref)))) - found
    return found


def _inputs(manifest: Manifest | None) -> Iterator[ArtifactRef]:
    for value in manifest.inputs.values() if manifest else ():
        for text in value if isinstance(value, list) else [value]:
            if str(text).count("/") == 1:  # others are digests of files
                yield ArtifactRef.of(str(text))


def read_manifests(store: Store) -> tuple[dict[ArtifactRef, Manifest], dict[ArtifactRef, str]]:
    """Read the manifests of all artefacts; return them, and what is wrong with those that cannot be read."""
    found: dict[ArtifactRef, Manifest] = {}
    unreadable: dict[ArtifactRef, str] = {}
    for folder in sorted((store.root / "artifacts").glob("*/*")):
        if folder.name.startswith(".tmp-") or not (folder / MANIFEST).is_file():
            continue
        ref = ArtifactRef(kind=folder.parent.name, digest=folder.name)
        try:
            found[ref] = read_manifest(folder, Manifest)
        except ArtifactError as error:
            unreadable[ref] = str(error)
    return found, unreadable


def _is_used(store: Store, ref: ArtifactRef, since: datetime) -> bool:
    used = last_use(store.root, str(ref))
    return used is not None and used >= since


def _old_notes(store: Store, before: datetime) -> Iterator[Place]:
    for path in list_files(store.root / USES).values():
        changed = changed_at(path)
        if changed is not None and changed < before:
            yield path


def _is_lost(store: Store, result: str, there: set[ArtifactRef]) -> bool:
    """Return whether a cached result refers to an artefact that is not there; one that cannot be read is left alone."""
    try:
        found = read_references(store, result)
    except (ArtifactError, FileNotFoundError):
        return False
    return not there.issuperset(found if isinstance(found, list) else [found])


def _leftovers(
    store: Store, before: datetime, manifests: Mapping[ArtifactRef, Manifest]
) -> Iterator[tuple[Place, int]]:
    """Yield drafts and work folders that killed runs left before a time, with their sizes in bytes."""
    if not isinstance(store.root, Path):
        for attempt in (store.root / "artifacts").glob("*/*/attempt-*"):
            ref = ArtifactRef(kind=attempt.parent.parent.name, digest=attempt.parent.name)
            # An attempt beside a finished artefact is left over if it is old: a damaged artefact is made again there.
            if ref in manifests and attempt.name != place_of(attempt.parent):
                states = [path.state() for path in attempt.files()]
                if all(one.changed < before for one in states):
                    yield attempt, sum(one.size for one in states)
        return
    for path in (*store.root.rglob(".tmp-*"), *(store.root / "work").glob("*")):
        files = [one for one in (path, *path.rglob("*")) if one.is_file()]
        changed = max((one.stat().st_mtime for one in (path, *files)), default=0.0)
        if changed < before.timestamp():
            yield path, sum(one.stat().st_size for one in files)


def remove_garbage(store: Store, garbage: Garbage) -> None:
    """Remove what was found: records first, so that a kill leaves no record of an artefact that is gone."""
    for path in (*garbage.records, *garbage.results):
        remove_file(path)
    for ref in garbage.artifacts:
        if not _is_used(store, ref, garbage.before):  # by a run that has begun since it was found
            _remove_artifact(store.folder(ref))
    for path in garbage.leftovers:
        if path.is_file():
            path.unlink(missing_ok=True)
        else:
            remove_all(path)


def _remove_artifact(folder: Place) -> None:
    """Remove an artefact, its name first: a kill leaves a draft, never a part of the artefact."""
    if not isinstance(folder, Path):
        remove_file(folder / MANIFEST)
        folder.remove_all()
        return
    aside = folder.with_name(f".tmp-gone-{folder.name}-{uuid.uuid4().hex[:8]}")
    folder.rename(aside)
    sync(folder.parent)
    shutil.rmtree(aside)
