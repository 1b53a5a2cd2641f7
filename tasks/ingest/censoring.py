"""Say how many images have no label because their plants were not watched long enough or not often enough."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date

from tasks.ingest.labels import LABELS, Readiness, SameDay, decide, decide_by_interval, is_censored
from tasks.sources.contract import SourceImage, SourceListing


def censored_images(listing: SourceListing, window_days: int, same_day: SameDay) -> list[SourceImage]:
    """Return the listed images that have no label only because their plants were not watched long enough."""
    return [
        image
        for image in listing.images
        if image.label is None
        and image.harvest is not None
        and is_censored(image.harvest, image.acquired, window_days, same_day)
    ]


def describe_censoring(listing: SourceListing, window_days: int, same_day: SameDay) -> list[str]:
    """Return one note for each date with such images, and one if the last watched day was assumed."""
    of_date: dict[date, list[SourceImage]] = defaultdict(list)
    for image in censored_images(listing, window_days, same_day):
        of_date[image.acquired].append(image)
    n_images = Counter(image.acquired for image in listing.images)
    notes = [
        f"{day}: {len(images)} of {n_images[day]} images are ambiguous: the plants were {watched_words(images)}, and "
        f"a label needs to know harvests until {window_end(day, window_days)}"
        for day, images in sorted(of_date.items())
    ]
    return [*notes, *describe_assumption([one for images in of_date.values() for one in images], listing.assumed_until)]


def describe_intervals(listing: SourceListing, window_days: int, same_day: SameDay) -> list[str]:
    """Return one note for each date on which visits were too far apart for some labels.

    The plants that keep a label are then not those of the field: with visits on days 0 and 5 and a window of 3 days,
    all plants harvested between the visits are ambiguous, and every label that is left says "not ready".
    """
    open_images, left = Counter[date](), defaultdict[date, Counter[Readiness]](Counter)
    for image in listing.images:
        if image.label is not None or image.harvest is None:
            continue
        left[image.acquired][decide(image.harvest, image.acquired, window_days, same_day)] += 1
        state = decide_by_interval(image.harvest, image.acquired, window_days, same_day)
        open_images[image.acquired] += state == Readiness.ambiguous and image.harvest.by != date.max
    return [
        f"{day}: {n} images are ambiguous: the days between two visits mean both answers. The labels left are "
        + " and ".join(f"{left[day][state]} {state.replace('_', ' ')}" for state in LABELS)
        + ", which need not be the shares of the field"
        for day, n in sorted(open_images.items())
        if n
    ]


def watched_words(images: Iterable[SourceImage]) -> str:
    """Say in words until when the plants of some images were watched."""
    days = {image.harvest.watched_until for image in images if image.harvest is not None}
    if max(days) == date.min:
        return "never watched"
    return f"not watched after {max(days)}" + (" or an earlier day" if len(days) > 1 else "")


def window_end(day: date, window_days: int) -> date:
    """Return the last day of the readiness window, or `date.max` if it lies beyond."""
    return date.fromordinal(min(day.toordinal() + window_days, date.max.toordinal()))


def describe_assumption(censored: Iterable[SourceImage], assumed_until: date | None) -> list[str]:
    """Return a note on the images without a label if the last watched day is an assumption that costs labels."""
    if assumed_until is None:
        return []
    lost = [one for one in censored if one.harvest is not None and one.harvest.watched_until == assumed_until]
    if not lost:
        return []
    taken = "there is no harvest date" if assumed_until == date.min else f"the last date, {assumed_until}, is taken"
    n_plants = len({one.plant_id for one in lost})
    return [
        f"the source has no observed_until, so {taken}. This makes {len(lost)} images of {n_plants} plants ambiguous. "
        "Set observed_until to the last day on which harvests were recorded"
    ]
