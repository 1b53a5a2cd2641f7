"""Check rules that hold for the listing of every source, and lay out the tables of their error messages."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from storage.errors import InputError
from storage.tables.names import SPLITS, Split
from tasks.sources.contract import Place, SourceImage
from tasks.sources.matching import N_NAMED, name_some

SPLIT_WORDS: Mapping[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "new": "new",
}


def text_table(heading: Sequence[str], rows: Iterable[Sequence[object]], limit: int = 20) -> str:
    """Lay out rows in aligned columns below a heading, for an error message.

    Parameters
    ----------
    heading : column names.
    rows : one sequence of values per row.
    limit : largest number of rows shown; a last line counts the others.
    """
    cells = [[str(value) for value in row] for row in rows]
    hidden = max(0, len(cells) - limit)
    shown = [list(heading), *cells[:limit]]
    widths = [max(len(row[column]) for row in shown) for column in range(len(heading))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]
    if hidden:
        lines.append(f"... and {hidden} more")
    return "".join(f"\n    {line}" for line in lines)


def counts_table(heading: str, counts: Counter[str]) -> str:
    """Lay out values and how often each occurs, most frequent first, for an error message."""
    return text_table((heading, "count"), sorted(counts.items(), key=by_count))


def by_count(item: tuple[str, int]) -> tuple[int, str]:
    """Return the sort key of (value, count) that puts the most frequent value first."""
    return -item[1], item[0]


def require_dates(dates: Sequence[date], available: Sequence[date]) -> tuple[date, ...]:
    """Return the requested dates ascending and once each.

    Raises
    ------
    InputError : no date requested, or one that the source has no image for.
    """
    if not dates:
        raise InputError(
            "No acquisition date was requested", "At least one acquisition date must be requested", "name the dates"
        )
    missing = sorted(set(dates) - set(available))
    if missing:
        raise InputError(
            f"The source has no image for {join_dates(missing)}; dates available: {join_dates(available) or 'none'}",
            "The source must have images for every acquisition date requested",
            "request dates that are available, or check the root and the field",
        )
    return tuple(sorted(set(dates)))


def join_dates(dates: Sequence[date]) -> str:
    """Write dates as ISO, separated by commas."""
    return ", ".join(day.isoformat() for day in dates)


def refuse_duplicates(observations: Iterable[tuple[str, date, str]]) -> None:
    """Refuse a plant that occurs twice on one date.

    Parameters
    ----------
    observations : plant id, acquisition date and path of each image.

    Raises
    ------
    InputError : a plant has two images on one date; the message lists them.
    """
    paths: dict[tuple[date, str], list[str]] = defaultdict(list)
    for plant_id, acquired, path in observations:
        paths[acquired, plant_id].append(path)
    rows = [(plant, day, " | ".join(found)) for (day, plant), found in sorted(paths.items()) if len(found) > 1]
    if rows:
        raise InputError(
            f"Several images of one plant on one date, {len(rows)} times"
            + text_table(("plant", "date", "files"), rows),
            "A plant must have only one image on an acquisition date",
            "remove all but one of the files",
        )


def refuse_two_splits(splits: Iterable[tuple[str, str]]) -> None:
    """Refuse a plant that is in several splits.

    Parameters
    ----------
    splits : pairs of plant id and split; pairs may be repeated.

    Raises
    ------
    InputError : a plant is in two splits; the message lists them.
    """
    of_plant: dict[str, set[str]] = defaultdict(set)
    for plant_id, split in splits:
        of_plant[plant_id].add(split)
    rows = [(plant, ", ".join(sorted(found))) for plant, found in sorted(of_plant.items()) if len(found) > 1]
    if rows:
        raise InputError(
            f"Plants in several splits: {len(rows)}" + text_table(("plant", "splits"), rows),
            "A plant must be in the same split on all dates, or training images leak into the test",
            "correct the splits of these plants",
        )


def describe_numbers(stated: Iterable[tuple[str, Place | None]]) -> list[str]:
    """Return a note on plants whose number is not whole, so that they have none.

    Parameters
    ----------
    stated : cell of the number and place of each plant.
    """
    wrong = [cell for cell, place in stated if cell and (place is None or place.number is None)]
    said = f"{len(wrong)} plants have a number in their row that is no whole number, such as {min(wrong, default='')!r}"
    return [f"{said}; lists in walking order find them by their position"] if wrong else []


def describe_varieties(plants: Iterable[tuple[Split, Place | None]]) -> list[str]:
    """Return a note on the plants of each variety by split, and on varieties that no training plant has.

    Parameters
    ----------
    plants : split and place of each plant.
    """
    of_variety: dict[str, Counter[Split]] = defaultdict(Counter)
    for split, place in plants:
        if place is not None and place.variety is not None:
            of_variety[place.variety][split] += 1
    if not of_variety:
        return []
    counts = [
        f"{name} " + ", ".join(f"{found[split]} {split}" for split in SPLITS if found[split])
        for name, found in sorted(of_variety.items())
    ]
    untrained = [name for name, found in sorted(of_variety.items()) if not found["train"]]
    said = f". No training plant is of {name_some(untrained)}" if untrained else ""
    return [f"plants by variety: {'; '.join(counts[:N_NAMED])}{'; ...' * (len(counts) > N_NAMED)}{said}"]


def in_listing_order(images: Iterable[SourceImage]) -> tuple[SourceImage, ...]:
    """Sort images by date, then by plant id, which is the stable order of a listing."""
    return tuple(sorted(images, key=lambda image: (image.acquired, image.plant_id)))
