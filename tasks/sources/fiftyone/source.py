"""Read the FiftyOne / Hugging Face export of GrowliFlower: one `samples.json` and a folder of patches."""

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field

from storage.errors import InputError
from tasks.sources.checks import in_listing_order, refuse_duplicates, require_dates
from tasks.sources.contract import LeftOut, SourceImage, SourceListing
from tasks.sources.fiftyone.samples import SAMPLES_FILE, Sample, dates_of, draw_splits, read_samples, splits_of_samples
from tasks.sources.files import FoundFiles, find_fault, find_root, relative_path, walk_files
from tasks.sources.growliflower.coordinates import SplitPlant, read_split_files
from tasks.sources.growliflower.release import CLASSES, is_split_file, remarks
from tasks.sources.harvest_table import FlagWords, refuse_unknown_words
from tasks.sources.harvests import (
    HarvestDay,
    HarvestRecords,
    HarvestRow,
    Visits,
    attach_harvests,
    harvests_from_dates,
    harvests_from_visits,
    last_harvest,
    parse_harvest,
    refuse_wrong_harvests,
)
from tasks.sources.images import PatchFiles, is_image_file

TWO_PLANTS = re.compile(r"\b2\s?P\b", re.IGNORECASE)  # comment of a sample that shows two plants


class FiftyOneSource(PatchFiles):
    """A folder in the layout of the FiftyOne export.

    Splits are read from the samples (`split` or tags; `samples`), else from UTM files (`utm`). Otherwise they are drawn
    over plants with a seed, 60 / 20 / 20 (`own`). The first of these that exists applies to all plants.
    """

    kind: Literal["fiftyone"] = "fiftyone"
    root: str = Field(description="Path of the folder that holds samples.json")
    field: str = Field(default="Field2", description="Field to read; samples of other fields are skipped")
    utm_folder: str | None = Field(
        default=None,
        description="Folder of the UTM split files, relative to root; null looks for them everywhere in root",
    )
    split_seed: int = Field(
        default=0, ge=0, lt=2**32, description="Seed of the split that is drawn if neither samples nor files state one"
    )
    words: FlagWords = FlagWords()
    null_means: Literal["unknown", "not_harvested"] = Field(
        default="unknown",
        description="Meaning of a sample without in_situ_harvested: unknown counts it as no visit, not_harvested as a "
        "visit before the harvest (until the plant's first true flag)",
    )
    observed_until: date | None = Field(
        default=None,
        description="Last day on which harvests were recorded, for plants whose in_situ_harvested is a date; images "
        "whose readiness window ends later get no label. null takes the last date of harvests and visits",
    )

    def available_dates(self) -> tuple[date, ...]:
        """Return the acquisition dates of the field's reference samples, ascending."""
        return dates_of(read_samples(find_root(self.root), self.field)[0])

    def list_images(self, dates: Sequence[date]) -> SourceListing:
        """List every reference sample of the field on these dates.

        Reasons of `left_out`: `missing_file`, `unreadable`, `flag_turns_off`, `two_harvest_dates`,
        `flag_contradicts_date`. Flags: `two_plants`, `known_blurry`.

        Raises
        ------
        InputError : the root is missing, samples are malformed, a date has no sample, a harvest word or split is
            unknown, a plant is in two splits or twice on one date, or a file lies outside the root.
        """
        root = find_root(self.root)
        samples, named, notes = read_samples(root, self.field)
        entries = walk_files(root)
        wanted = require_dates(dates, dates_of(samples))
        refuse_duplicates((one.plant_id, one.acquired, one.path) for one in samples)
        plants = self._find_splits(root, entries, samples)
        images: list[SourceImage] = []
        left_out: list[LeftOut] = []
        for one in samples:
            if one.acquired not in wanted:
                continue
            if fault := find_fault(root / one.path, root):
                left_out.append(LeftOut(one.plant_id, one.acquired, one.path, *fault))
            else:
                images.append(make_image(one, plants.get(one.plant_id)))
        records = read_harvests(samples, self.words, self.null_means, self.observed_until)
        images, contradicting, unlabelled = attach_harvests(images, records)
        left_out = sorted([*left_out, *contradicting], key=lambda one: (one.acquired, one.plant_id))
        unsplit = {image.plant_id for image in images if image.split_source == "none"}
        notes += unlabelled + ([f"{len(unsplit)} plants are in no split and count as new"] if unsplit else [])
        notes += describe_unnamed(entries, root, named)
        return SourceListing(
            CLASSES, in_listing_order(images), tuple(left_out), tuple(notes), assumed_until=records.assumed_until
        )

    def _find_splits(self, root: Path, entries: FoundFiles, samples: Sequence[Sample]) -> dict[str, SplitPlant]:
        stated = splits_of_samples(samples)
        if stated:
            return stated
        folder = root / self.utm_folder if self.utm_folder else root
        if self.utm_folder and not folder.is_dir():
            raise InputError(f"There is no folder {folder}", "utm_folder must be a folder", "correct utm_folder")
        found = walk_files(folder) if self.utm_folder else entries
        files = [path for path in (*found.files, *(one.path for one in found.faulty)) if is_split_file(path)]
        if files or self.utm_folder:
            return read_split_files(files)
        return draw_splits({one.plant_id for one in samples}, self.split_seed)


def describe_unnamed(entries: FoundFiles, root: Path, named: frozenset[str]) -> list[str]:
    """Return notes on images that no sample names, entries that cannot be read, and other files by kind."""
    counts = entries.passed_by.copy()
    for path in entries.files:
        relative = relative_path(path, root)
        if relative in named or relative == SAMPLES_FILE or is_split_file(path):
            continue
        counts["images that are in no sample" if is_image_file(path) else "files that are no images or tables"] += 1
    for one in entries.faulty:
        if one.shown not in named:
            counts[f"files in no sample that cannot be read ({one.detail})"] += 1
    return [f"{n} {what} passed by" for what, n in sorted(counts.items())]


def make_image(sample: Sample, plant: SplitPlant | None) -> SourceImage:
    """Make the record of one sample's image, with the plant's split if it has one."""
    flags = ("two_plants",) if TWO_PLANTS.search(sample.comment) else ()
    flags += remarks(sample.plant_id, sample.acquired)
    image = SourceImage(sample.plant_id, sample.acquired, "new", "none", sample.path, flags=flags)
    return plant.place(image) if plant else image


def read_harvests(
    samples: Sequence[Sample], words: FlagWords, null_means: str, observed_until: date | None = None
) -> HarvestRecords:
    """Read the harvest records of all plants: harvest dates, `never`, or flags at the acquisition dates.

    A date takes precedence over flags. A null after the first true flag is never a visit, whatever `null_means` says,
    because nobody assesses a plant that is gone.

    Raises
    ------
    InputError : a word is neither a flag, a date nor `never` (the message lists all values with their counts), or a
        date is outside the season or after `observed_until`.
    """
    # Words are matched before dates: "1" is a flag and no date, "20210901" is a date.
    stated = {one: flag_of(one, words) for one in samples if one.harvested != ""}
    cells: dict[Sample, HarvestDay] = {
        one: cell for one in stated if stated[one] is None and (cell := parse_harvest(str(one.harvested)))
    }
    where = "in_situ_harvested (or a date, or never)"
    refuse_unknown_words(
        (one.harvested for one in samples if isinstance(one.harvested, str) and one not in cells), words, where
    )
    flags: dict[str, dict[date, bool]] = defaultdict(dict)
    for one, flag in stated.items():
        if flag is not None:
            flags[one.plant_id][one.acquired] = flag
    nulls = [one for one in samples if one.harvested == ""]
    visits = with_null_visits(flags, nulls) if null_means == "not_harvested" else flags
    seen = [day for of_plant in visits.values() for day in of_plant] + [one.acquired for one in cells]
    last_visit = max(seen, default=date.min)
    rows: list[HarvestRow] = [(one.plant_id, cell) for one, cell in cells.items()]
    refuse_wrong_harvests(rows, dates_of(samples), observed_until, "in_situ_harvested")
    watched_until = observed_until or max(last_visit, last_harvest(rows))
    dated = harvests_from_dates(rows, watched_until)
    refute_by_flags(dated, flags)
    of_dates = {plant_id for plant_id, _ in rows}
    flagged = harvests_from_visits({plant: visits[plant] for plant in visits if plant not in of_dates}, last_visit)
    assumed_until = watched_until if rows and observed_until is None else None
    return HarvestRecords(dated.harvests | flagged.harvests, dated.faults | flagged.faults, assumed_until=assumed_until)


def flag_of(sample: Sample, words: FlagWords) -> bool | None:
    """Return the harvest flag of a sample: what JSON states, or else what its word means."""
    return sample.harvested if isinstance(sample.harvested, bool) else words.flag(sample.harvested)


def refute_by_flags(records: HarvestRecords, flags: Visits) -> None:
    """Move plants to `faults` if their flags contradict their harvest date or the statement `never`."""
    for plant_id, harvest in list(records.harvests.items()):
        seen = flags.get(plant_id, {})
        day = harvest.by or date.max
        wrong = sorted(visit for visit, flag in seen.items() if (flag and visit < day) or (not flag and visit > day))
        if wrong:
            del records.harvests[plant_id]
            stated = f"harvested on {day}" if harvest.by else "never harvested"
            detail = f"{stated}, but flagged {seen[wrong[0]]} on {wrong[0]}"
            records.faults[plant_id] = ("flag_contradicts_date", detail)


def with_null_visits(flags: Visits, samples: Sequence[Sample]) -> Visits:
    """Count samples without a flag as unflagged visits, up to the first true flag of the plant."""
    visits = {plant_id: dict(of_plant) for plant_id, of_plant in flags.items()}
    for one in samples:
        first_true = min((day for day, flag in flags.get(one.plant_id, {}).items() if flag), default=date.max)
        if one.acquired < first_true:
            visits.setdefault(one.plant_id, {})[one.acquired] = False
    return visits
