"""Check that every fit of a date has its own record, named by all that makes its rows, and never half written."""

import shutil
from datetime import date
from pathlib import Path
from typing import ClassVar

import pytest

from storage.artifacts import ArtifactRef, Recipe, Store
from storage.errors import ArtifactError
from storage.records.acquisitions import (
    AcquisitionRecord,
    DateFiles,
    acquisition_dates,
    find_acquisition,
    fit_digest,
    learned_artifacts,
    list_acquisitions,
    read_acquisition,
    scored_artifacts,
    write_acquisition,
)
from tests.support.local_stores import local

DAY, LATER = date(2021, 9, 3), date(2021, 9, 10)
FIT, NEWER = "1" * 24, "2" * 24


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def ref(kind: str, digit: str = "0") -> ArtifactRef:
    return ArtifactRef(kind=kind, digest=digit * 24)


def record(day: date = DAY, fit: str = FIT, campaign: str = "field2") -> AcquisitionRecord:
    return AcquisitionRecord(
        campaign=campaign,
        date=day,
        fitted_by="field1",
        fit=fit,
        params={"explain": {"methods": ["gradcam"]}, "deep": [0.1, None]},
        artifacts={"classifier": ref("classifier"), f"images {day}": ref("images", "3")},
    )


ROLES = {
    "classifier": ref("classifier"),
    "clusters gradcam": ref("clusters"),
    "clusters occlusion": ref("clusters", "1"),
    "scores gradcam": ref("scores"),
    "reliability gradcam 2021-09-03": ref("reliability"),
    "images 2021-09-03": ref("images"),
}
LEARNED = [role for role in ROLES if role.split()[0] in ("classifier", "clusters", "scores")]


class TestFitDigest:
    def test_what_was_learned(self) -> None:
        assert learned_artifacts(ROLES) == {role: ROLES[role] for role in LEARNED}

    def test_order_and_what_follows_from_the_fit_do_not_matter(self) -> None:
        assert fit_digest(ROLES) == fit_digest(dict(reversed(ROLES.items())))
        others = ("images 2021-09-03", "adjusted gradcam 2021-09-03", "metrics gradcam", "report", "plants")
        assert fit_digest({**ROLES, **{role: ref("any", "9") for role in others}}) == fit_digest(ROLES)

    @pytest.mark.parametrize("kind", ["clusters", "crossfit", "scores", "swaps", "reliability", "drift"])
    @pytest.mark.parametrize("method", ["gradcam", "lime"])
    def test_what_changes_rows_of_a_date_does(self, kind: str, method: str) -> None:
        assert fit_digest({**ROLES, f"{kind} {method}": ref("any", "9")}) != fit_digest(ROLES)

    def test_the_classifier_does(self) -> None:
        assert fit_digest({**ROLES, "classifier": ref("any", "9")}) != fit_digest(ROLES)

    def test_which_method_s_clusters_does(self) -> None:
        swapped = {"clusters gradcam": ref("clusters", "1"), "clusters occlusion": ref("clusters")}
        assert fit_digest({**ROLES, **swapped}) != fit_digest(ROLES)

    def test_is_pinned(self) -> None:
        """Pin the digest, which names records and parts: with another digest, every date would be scored again."""
        assert fit_digest(ROLES) == "510dd7bc042800145ad99093"


class TestRecord:
    def test_round_trip_and_place(self, store: Store) -> None:
        path = write_acquisition(store, record())
        assert path == store.root / f"acquisitions/field2/2021-09-03/{FIT}.json"
        assert find_acquisition(store, "field2", DAY, FIT) == record() == read_acquisition(path)
        assert list_acquisitions(store) == [path]

    def test_what_was_never_scored(self, store: Store) -> None:
        assert find_acquisition(store, "field2", DAY, FIT) is None and acquisition_dates(store, "field2", FIT) == []
        write_acquisition(store, record())
        for campaign, day, fit in (("field1", DAY, FIT), ("field2", LATER, FIT), ("field2", DAY, NEWER)):
            assert find_acquisition(store, campaign, day, fit) is None

    def test_a_newer_fit_writes_beside_the_old(self, store: Store) -> None:
        old = write_acquisition(store, record())
        before = old.read_bytes(), local(old).stat().st_mtime_ns
        write_acquisition(store, record(fit=NEWER))
        assert (old.read_bytes(), local(old).stat().st_mtime_ns) == before
        assert find_acquisition(store, "field2", DAY, NEWER) == record(fit=NEWER)

    def test_scoring_again_replaces(self, store: Store) -> None:
        write_acquisition(store, record())
        changed = record().model_copy(update={"params": {}})
        path = write_acquisition(store, changed)
        assert find_acquisition(store, "field2", DAY, FIT) == changed
        assert [p.name for p in local(path.parent).iterdir()] == [path.name]

    def test_dates_of_a_fit_in_order(self, store: Store) -> None:
        for day, fit in ((LATER, FIT), (DAY, FIT), (DAY, NEWER)):
            write_acquisition(store, record(day, fit))
        write_acquisition(store, record(date(2020, 1, 1), campaign="field3"))
        (local(store.root / "acquisitions/field2/notes")).mkdir()
        (local(store.root / f"acquisitions/field2/notes/{FIT}.json")).touch()
        assert acquisition_dates(store, "field2", FIT) == [DAY, LATER]
        assert acquisition_dates(store, "field2", NEWER) == [DAY]

    @pytest.mark.parametrize("content", [b"", b"{", b'{"campaign": "field2"}', b"\xff"])
    def test_a_damaged_record_is_named(self, store: Store, content: bytes) -> None:
        write_acquisition(store, record()).write_bytes(content)
        with pytest.raises(ArtifactError, match=rf"acquisitions/field2/2021-09-03/{FIT}\.json cannot be read"):
            find_acquisition(store, "field2", DAY, FIT)
        assert acquisition_dates(store, "field2", FIT) == [DAY]  # a damaged date hides no other date

    def test_a_field_that_no_record_has(self, store: Store) -> None:
        path = write_acquisition(store, record())
        local(path).write_text(local(path).read_text().replace('"campaign"', '"surprise": 1, "campaign"', 1))
        with pytest.raises(ArtifactError, match=r"(?s)cannot be read.*surprise"):
            find_acquisition(store, "field2", DAY, FIT)

    @pytest.mark.parametrize(
        "other", [record(LATER), record(fit=NEWER), record(campaign="field1")], ids=["date", "fit", "campaign"]
    )
    def test_a_record_of_another_place(self, store: Store, other: AcquisitionRecord) -> None:
        local(write_acquisition(store, record())).write_text(other.model_dump_json())
        said = f"{other.campaign} {other.date} {other.fit}"
        with pytest.raises(ArtifactError, match=rf"2021-09-03/{FIT}\.json is the record of {said}$"):
            find_acquisition(store, "field2", DAY, FIT)

    def test_files_are_kept_where_they_are_known(self, store: Store) -> None:
        files = DateFiles(n_files=2, n_bytes=9, digest="d")
        for written in (record(), record().model_copy(update={"files": files})):
            path = local(write_acquisition(store, written))
            assert find_acquisition(store, "field2", DAY, FIT) == written
            assert ('"files"' in path.read_text()) == (written.files is not None)

    def test_what_a_killed_writer_leaves_is_no_record(self, store: Store) -> None:
        folder = write_acquisition(store, record(fit=NEWER)).parent
        (local(folder / f".tmp-{FIT}.json-01234567")).write_text("{")
        assert find_acquisition(store, "field2", DAY, FIT) is None
        assert len(list_acquisitions(store)) == 1


class TestScoredArtifacts:
    """Check which dates, scored since the campaign was fitted, the report shows."""

    PARAMS: ClassVar = {"dates": ["2021-08-23"]}

    def scored(self, store: Store, day: date, fit: str = "") -> dict[str, ArtifactRef]:
        """Write a date's artefacts and record; return the artefacts about its plants."""
        made: dict[str, ArtifactRef] = {}
        for kind in ("images", "adjusted", "assignments", "features"):
            recipe = Recipe(kind, 1, {"day": day.isoformat()})
            with store.create(recipe):
                pass
            made[f"{kind} {day}" if kind == "images" else f"{kind} gradcam {day}"] = recipe.ref
        written = record(day, fit or fit_digest(ROLES)).model_copy(update={"artifacts": {**ROLES_OF_FIT, **made}})
        write_acquisition(store, written)
        return {role: ref for role, ref in made.items() if "features" not in role}

    def test_every_date_of_the_present_fit(self, store: Store) -> None:
        assert scored_artifacts(store, "field2", self.PARAMS, ROLES) == ({}, [])
        first, second = self.scored(store, DAY), self.scored(store, LATER)
        self.scored(store, date(2021, 9, 17), NEWER)
        assert scored_artifacts(store, "field2", self.PARAMS, ROLES) == ({**first, **second}, [])
        assert scored_artifacts(store, "field3", self.PARAMS, ROLES) == ({}, [])

    def test_the_campaign_s_own_dates_are_its_own(self, store: Store) -> None:
        self.scored(store, DAY)
        assert scored_artifacts(store, "field2", {"dates": [DAY.isoformat()]}, ROLES) == ({}, [])

    def test_dates_that_are_no_longer_whole_are_named(self, store: Store) -> None:
        kept, gone = self.scored(store, DAY), self.scored(store, LATER)
        shutil.rmtree(local(store.folder(gone[f"adjusted gradcam {LATER}"])))
        assert scored_artifacts(store, "field2", self.PARAMS, ROLES) == (kept, [LATER.isoformat()])
        find_path(store, DAY).write_text("half a rec")
        assert scored_artifacts(store, "field2", self.PARAMS, ROLES) == ({}, [DAY.isoformat(), LATER.isoformat()])


ROLES_OF_FIT = {role: made for role, made in ROLES.items() if role.split()[0] in ("classifier", "clusters")}


def find_path(store: Store, day: date) -> Path:
    """Return the path of a date's record of the present fit."""
    return local(next(path for path in list_acquisitions(store) if path.parent.name == day.isoformat()))
