"""Test that a new date costs what it has to say itself: earlier dates keep their sums, maps and pages."""

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from storage.artifacts import Artifact, Store
from storage.published.manifests import read_published
from storage.published.publish import MANIFEST, publish_report
from storage.tables import DECIDED
from storage.tables.rows import rows_of
from tasks.report import report as whole
from tasks.report.field import days
from tasks.report.report import map_file, write_report
from tests.support.local_stores import local
from tests.support.report_campaign import DAYS, FakeCampaign
from tests.support.report_pages import Page

LATER = ("2021-09-06", "2021-09-09", "2021-09-12")
EVERY = (*DAYS, *LATER)


@dataclass(frozen=True)
class Renewed:
    """Reports before and after the last date was scored, where two dates are shown in full.

    Attributes
    ----------
    read : dates of which tables were read for the second report.
    parts : names of the artefacts before and after, without reports.
    """

    campaign: FakeCampaign
    before: Artifact
    after: Artifact
    read: list[str]
    parts: tuple[set[str], set[str]]


@pytest.fixture(scope="module")
def renewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Renewed]:
    root = tmp_path_factory.mktemp("store")
    campaign = FakeCampaign(root, n_plants=12, size=8, has_places=True, scored_days=LATER, has_scored_clusters=True)
    read: list[str] = []
    original = days.read_day

    def read_and_note(artifacts: Any, day: str, *rest: Any) -> Any:
        read.append(day)
        return original(artifacts, day, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(days, "N_LATEST", 2)
        before, parts = report_of(campaign, LATER[:-1]), parts_of(campaign)
        patch.setattr(days, "read_day", read_and_note)
        patch.setattr(whole, "read_day", read_and_note)
        yield Renewed(campaign, before, report_of(campaign, LATER), read, (parts, parts_of(campaign)))


def report_of(campaign: FakeCampaign, later: Sequence[str]) -> Artifact:
    scored = {role: ref for role, ref in campaign.scored.items() if role.split()[-1] in later}
    fixed = (campaign.campaign, campaign.params, campaign.differing, campaign.roles, scored, list[str]())
    return campaign.store.open(write_report.fn(str(campaign.root), *fixed))


def parts_of(campaign: FakeCampaign) -> set[str]:
    folders = (campaign.root / "artifacts").glob("*/*")
    return {f"{one.parent.name}/{one.name}" for one in folders if one.parent.name != "report"}


def shown_dates(page: bytes) -> list[dict[str, Any]]:
    (found,) = re.findall(r'<script type="application/json" id="field-data">(.*?)</script>', page.decode())
    return json.loads(found)["days"]


def test_earlier_dates_have_pages_of_their_own(renewed: Renewed) -> None:
    campaign, made = renewed.campaign, renewed.after
    index = made.read_bytes("index.html")
    assert [day["date"] for day in shown_dates(index)] == list(EVERY[-2:])
    links = [link for link in Page(index.decode()).links if link[:2] == "20"]
    assert links == [f"{day}.html" for day in EVERY[-3::-1]]
    for day in EVERY[:-2]:
        page = made.read_bytes(f"{day}.html")
        (shown,) = shown_dates(page)
        answered = rows_of(
            campaign.store.open({**campaign.roles, **campaign.scored}[f"decided gradcam {day}"]), DECIDED
        )
        assert (shown["date"], shown["n"]) == (day, len(answered))
        assert max(shown["picture"]) >= 0 and "index.html" in Page(page.decode()).links
    assert {map_file(day) for day in EVERY} <= set(made.manifest.files)


def test_the_analysis_page_counts_every_date_and_says_whose_images_it_lacks(renewed: Renewed) -> None:
    page = Page(renewed.after.read_bytes("analysis.html").decode())
    assert [row[0] for row in page.tables["dates"][1:]] == list(EVERY[::-1])
    assert {row[0] for row in page.tables["drift"][1:]} == set(EVERY)
    assert page.tables["rejected"][1][1] == str(2 * len(EVERY))  # two were harvested on each date
    assert "explorer-earlier" in page.ids


def test_a_new_date_makes_its_sums_and_the_page_of_the_date_that_leaves(renewed: Renewed) -> None:
    before, after = renewed.parts
    made = ["date_page", "explored", "explorer_pictures", "told"]
    assert sorted(name.split("/")[0] for name in after - before) == made
    assert sorted(renewed.read) == [LATER[0], LATER[1], LATER[2], LATER[2]]  # the last: its sums, and on the page
    first, second = renewed.before.manifest.files, renewed.after.manifest.files
    assert set(first) < set(second)
    figures = [name for name in first if name.endswith("gradcam.png")]  # of the fit: neither drawn nor counted again
    assert len(figures) == 6 and all(second[name] == first[name] for name in figures)


def test_published_pages_of_earlier_dates_stay_and_keep_what_they_are_linked_from(renewed: Renewed) -> None:
    store = renewed.campaign.store
    folder = local(publish_report(store, renewed.before.ref, "field2")).parent
    page, index = folder / f"{DAYS[0]}.html", folder / "index.html"
    there = page.stat().st_ino, index.stat().st_ino
    publish_report(store, renewed.after.ref, "field2")
    assert (page.stat().st_ino == there[0], index.stat().st_ino == there[1]) == (True, False)
    sources = {str(ref) for ref in read_published(folder / MANIFEST).sources}
    kept = {name for name in renewed.parts[1] if name.startswith(("told/", "date_page/", "drawn/", "explore"))}
    assert len(kept) == 5 + 3 + 1 + 2 * 5
    assert {name.split("/")[0] for name in kept - sources} == {"explored", "explorer_pictures"}
    assert len(kept - sources) == 2 and sources - kept == {str(renewed.after.ref)}  # of the date that the explorer left


def test_neither_images_nor_maps_of_earlier_dates_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report of one more date is the same in a store that has lost the arrays of all dates but the new one."""
    monkeypatch.setattr(days, "N_LATEST", 6)  # no date leaves, of which the page would be made
    campaign = FakeCampaign(tmp_path / "spared", n_plants=12, size=8, scored_days=LATER, has_scored_clusters=True)
    report_of(campaign, LATER[:1])
    shutil.copytree(campaign.root, tmp_path / "whole")
    for day in (*DAYS, LATER[0]):
        for role in (f"images {day}", f"saliency gradcam {day}"):
            folder = local(campaign.store.folder({**campaign.roles, **campaign.scored}[role]))
            for array in [one.parent for one in folder.glob("*/zarr.json")]:
                shutil.rmtree(array)
    spared = report_of(campaign, LATER[:2])
    campaign.root = tmp_path / "whole"
    campaign.store = Store(campaign.root)
    whole = report_of(campaign, LATER[:2])
    assert spared.ref == whole.ref and spared.read_bytes("analysis.html") == whole.read_bytes("analysis.html")
    page = json.loads(re.findall(r'id="explorer-data">(.*?)</script>', spared.read_bytes("analysis.html").decode())[0])
    assert {page["common"]["dates"][day][0] for day in page["common"]["date"]} == {*DAYS, *LATER[:2]}
