"""Prepare the plant explorer of a report: pictures, maps and answers of the explained images, as text for its page.

Reads what was kept of every date (see `explored.py`), and puts it together. The scripts `explorer.js`,
`explorer-scatter.js` and `explorer-card.js` show it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.tables.names import SPLIT_NAMES, SPLITS
from storage.tables.rows import days_of
from tasks.decide.decisions import decisions_of
from tasks.export.walking import natural_key
from tasks.report.explorer.answers import numbers_of
from tasks.report.explorer.chosen import MOST_IMAGES, PER_SHEET, sheet_sizes, shown_sheets
from tasks.report.explorer.explored import Explored
from tasks.report.explorer.maps import PlacedMaps
from tasks.report.explorer.pictures import PICTURE_BYTES, picture_bytes
from tasks.report.field.summary import day_label
from tasks.report.field.texts import TEXTS
from tasks.report.inputs import CampaignResults, MethodResults
from tasks.report.sprites import ACROSS
from tasks.report.words import method_name

METHOD_BYTES = 5_200_000  # most bytes of text with maps and answers; the first method has its own in any case


@dataclass(frozen=True)
class Explorer:
    """Plant explorer of a page.

    Attributes
    ----------
    content : maps and answers as JSON, safe inside a `script` element.
    sheets : sheets of pictures, WebP as base64.
    n, n_shown : number of explained images, and of those on the page.
    methods : names of the saliency methods on the page.
    left_out : names of the saliency methods whose maps do not fit.
    without : dates with decisions that are not on the page, because the store lacks their maps by some method.
    n_earlier : number of earlier dates, scored since the fit, that are not on the page.
    """

    content: str
    sheets: list[str]
    n: int
    n_shown: int
    dates: list[str]
    clusters: list[int]
    decisions: list[str]
    plots: list[str]
    methods: list[tuple[str, str]]
    left_out: list[str]
    least_novelty: float
    without: list[str]
    n_earlier: int


@dataclass(frozen=True)
class Shown:
    """Images (n) that a page shows, the most novel first; equally novel ones by date and position.

    Attributes
    ----------
    dates : what was kept of every date.
    day : (n,) index of the date.
    place : (n,) position among the date's images.
    sheet : (n,) sheet of the page on which the picture is.
    sheets : sheets of the page, and `lines` the number of lines that each has.
    """

    dates: Sequence[Explored]
    day: NDArray[np.int64]
    place: NDArray[np.int64]
    sheet: NDArray[np.int64]
    sheets: list[str]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.day)

    def common(self, name: str) -> list[Any]:
        """Return a column that all saliency methods share."""
        return self._column([one.common[name] for one in self.dates])

    def of_method(self, method: str, name: str) -> list[Any]:
        """Return a column of a saliency method."""
        return self._column([one.methods[method][name] for one in self.dates])

    def maps(self, method: str) -> PlacedMaps:
        """Return the maps by a saliency method."""
        maps = [one.maps[method] for one in self.dates]
        starts = np.cumsum([0, *(len(one.coarse) for one in maps)])
        at = starts[self.day] + self.place
        return PlacedMaps(
            np.concatenate([one.coordinates for one in maps])[at], np.concatenate([one.coarse for one in maps])[at]
        )

    def _column(self, columns: Sequence[Sequence[Any]]) -> list[Any]:
        return [columns[day][place] for day, place in zip(self.day.tolist(), self.place.tolist(), strict=True)]


def explorer_page(results: CampaignResults, dates: Sequence[Explored]) -> Explorer | None:
    """Prepare the plant explorer of a campaign; None if no date has pictures, maps and answers."""
    decided = {
        day
        for some in (results.artifacts, results.scored)
        for day in days_of(some, f"decided {results.methods[0].method}")
    }
    explained = [one for one in dates if one.n]
    if not explained:
        return None
    images = choose_images(explained)
    texts, left_out = method_texts(results.methods, images, results.classes)
    plots = sorted({plot for plot in images.common("plot") if plot is not None}, key=natural_key)
    least = results.params["decide"]["least_novelty"]
    common = {**_common(images, results.classes, plots), "least_novelty": least}
    return Explorer(
        content=f'{{"common":{_json(common)},"methods":[{",".join(texts.values())}]}}',
        sheets=images.sheets,
        n=sum(one.n for one in dates),
        n_shown=len(images),
        dates=[one.date for one in dates],
        clusters=sorted({row["cluster"] for row in results.methods[0].clusters}),
        decisions=decisions_of(results.classes),
        plots=plots,
        methods=[(method, method_name(method)) for method in texts],
        left_out=[method_name(method) for method in left_out],
        least_novelty=least,
        without=sorted(decided - {one.date for one in dates}),
        n_earlier=sum(one.summary.date not in decided for one in results.told),
    )


def choose_images(dates: Sequence[Explored]) -> Shown:
    """Choose the images of a page by whole sheets, at most `MOST_IMAGES` and `PICTURE_BYTES` (see `shown_sheets`)."""
    counts = [sheet_sizes(len(one.common["row"])) for one in dates]
    chosen = shown_sheets(counts, [picture_bytes(one.sheets) for one in dates], MOST_IMAGES, PICTURE_BYTES)
    parts = [(day, number) for day, some in enumerate(chosen) for number in some.tolist()]
    sizes = [int(counts[day][number]) for day, number in parts]
    images = Shown(
        dates=dates,
        day=np.repeat(np.asarray([day for day, _ in parts], np.int64), sizes),
        place=np.concatenate([number * PER_SHEET + np.arange(n) for (_, number), n in zip(parts, sizes, strict=True)]),
        sheet=np.repeat(np.arange(len(parts)), sizes),
        sheets=[dates[day].sheets[number] for day, number in parts],
        lines=[-(-n // ACROSS) for n in sizes],
    )
    order = np.lexsort((images.common("row"), images.day, images.common("novelty")))
    return replace(images, day=images.day[order], place=images.place[order], sheet=images.sheet[order])


def _common(images: Shown, classes: Sequence[str], plots: Sequence[str]) -> dict[str, Any]:
    """Return what all saliency methods have in common; numbers of names, -1 where unknown."""
    plants = sorted(set(images.common("plant_id")), key=natural_key)
    return {
        "classes": list(classes),
        "splits": [SPLIT_NAMES[split] for split in SPLITS],
        "decisions": decisions_of(classes),
        "dates": [[one.date, day_label(one.date)] for one in images.dates],
        "plots": list(plots),
        "plants": plants,
        "plant": numbers_of(images.common("plant_id"), plants),
        "date": images.day.tolist(),
        "split": numbers_of(images.common("split"), SPLITS),
        "plot": numbers_of(images.common("plot"), plots),
        "label": numbers_of(images.common("label"), classes),
        "predicted": numbers_of(images.common("predicted"), classes),
        "sheet": images.sheet.tolist(),
        "spot": (images.place % PER_SHEET).tolist(),
        "lines": images.lines,
        "across": ACROSS,
    }


def method_texts(
    methods: Sequence[MethodResults], images: Shown, classes: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """Return the JSON of the methods that fit into `METHOD_BYTES` by name, and the names of those that do not."""
    texts: dict[str, str] = {}
    left_out: list[str] = []
    for one in methods:
        text = _json(_of_method(one, images, classes))
        if texts and sum(map(len, texts.values())) + len(text) > METHOD_BYTES:
            left_out.append(one.method)
        else:
            texts[one.method] = text
    return texts, left_out


def _of_method(one: MethodResults, images: Shown, classes: Sequence[str]) -> dict[str, Any]:
    def column(name: str) -> list[Any]:
        return images.of_method(one.method, name)

    reasons = sorted(set(column("check_reason")))
    swapped = {row["cluster"] for row in one.swaps if row["is_swapped"]}
    return {
        "method": one.method,
        "name": method_name(one.method),
        "clusters": [
            [row["cluster"], row["n"], row["n_wrong"], int(row["cluster"] in swapped)] for row in one.clusters
        ],
        "reasons": [[TEXTS.get(f"reason.{word}", word) for word in text.split()] for text in reasons],
        "cluster": column("cluster"),
        "novelty": [float(f"{novelty:.3g}") for novelty in column("novelty")],
        "flat": [i for i, is_flat in enumerate(column("is_flat_map")) if is_flat],
        "answer": numbers_of(column("answer"), classes),
        "decision": numbers_of(column("decision"), decisions_of(classes)),
        "reason": numbers_of(column("check_reason"), reasons),
        "reliability": [round(reliability, 3) for reliability in column("answer_reliability")],
        **images.maps(one.method).content(),
    }


def _json(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c")  # `<` could end the element or open a comment in it
