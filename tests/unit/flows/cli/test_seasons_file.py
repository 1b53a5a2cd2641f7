"""Tests of the TOML file of `harvest backfill`: defaults, paths, and every mistake named."""

import re
from datetime import date
from pathlib import Path

import pytest

from flows.cli.seasons_file import load_seasons_file
from flows.parameters import BackfillParams, Season
from storage.errors import InputError
from tasks.ingest.arrival import ArrivalParams
from tasks.parameters import Runtime
from tasks.sources.folder.source import FolderSource
from tasks.sources.synthetic.source import SyntheticSource
from tests.support import toml_files
from tests.support.repository import ROOT
from tests.support.toml_files import write_file

LEAST = '[[seasons]]\ncampaign = "field2-2021"\n'
SECOND = '[[seasons]]\ncampaign = "field2-2022"\n'
SOURCE = '[seasons.source]\nkind = "folder"\nroot = "images"\n'


def write(folder: Path, text: str, name: str = "seasons.toml") -> Path:
    return write_file(folder, text, name)


def refusal(path: Path) -> InputError:
    return toml_files.refusal(load_seasons_file, path)


def problems(folder: Path, text: str) -> list[str]:
    return toml_files.problems(load_seasons_file, write(folder, text))


class TestContent:
    def test_a_season_alone(self, tmp_path: Path) -> None:
        params, runtime = load_seasons_file(write(tmp_path, LEAST, "All Seasons.toml"))
        season = Season(campaign="field2-2021")
        assert (season.fitted_by, season.source, season.dates) == (None, None, None)
        assert params == BackfillParams(name="all-seasons", seasons=(season,))
        assert (params.at_most, params.arrival, runtime) == (
            2,
            ArrivalParams(settle_seconds=0, patience_minutes=0),
            Runtime(),
        )

    def test_everything(self, tmp_path: Path) -> None:
        text = (
            'name = "years"\nat_most = 4\n[arrival]\nsettle_seconds = 0\nmarker = "{date}.complete"\n'
            "[runtime]\nworkers = 3\n"
            '[[seasons]]\ncampaign = "field2-2022"\nfitted_by = "field2-2021"\ndates = ["2022-09-03", 2022-08-25]\n'
            + SOURCE
            + '[[seasons]]\ncampaign = "grown"\nsource = { kind = "synthetic" }\n'
        )
        params, runtime = load_seasons_file(write(tmp_path, text))
        assert (params.name, params.at_most, runtime.workers) == ("years", 4, 3)
        assert params.arrival == ArrivalParams(settle_seconds=0, marker="{date}.complete")
        first, second = params.seasons
        assert (first.fitted_by, first.dates) == ("field2-2021", (date(2022, 8, 25), date(2022, 9, 3)))
        assert isinstance(first.source, FolderSource) and isinstance(second.source, SyntheticSource)

    def test_a_run_s_record_gives_the_same_parameters(self, tmp_path: Path) -> None:
        params, _ = load_seasons_file(write(tmp_path, LEAST + 'dates = ["2021-08-25"]\n' + SOURCE))
        assert BackfillParams.model_validate(params.model_dump(mode="json")) == params


class TestPaths:
    def test_relative_paths_start_at_the_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "elsewhere").mkdir()
        text = LEAST + SOURCE + SECOND + SOURCE.replace("images", "../images")
        path = write(tmp_path / "plans", text)
        monkeypatch.chdir(tmp_path / "elsewhere")
        for given in (path, Path("../plans/seasons.toml")):
            sources = [season.source for season in load_seasons_file(given)[0].seasons]
            roots = [source.root for source in sources if isinstance(source, FolderSource)]
            assert roots == [str(tmp_path / "plans/images"), str(tmp_path / "images")]

    def test_absolute_paths_stay(self, tmp_path: Path) -> None:
        (season,) = load_seasons_file(write(tmp_path, LEAST + SOURCE.replace("images", "/data/x")))[0].seasons
        assert isinstance(season.source, FolderSource) and season.source.root == "/data/x"


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("", "seasons: missing"),
            ("at_mots = 3\n" + LEAST, "at_mots: unknown key; did you mean at_most?"),
            ("zzzqqq = 3\n" + LEAST, "zzzqqq: unknown key"),
            (LEAST + "campain = 'x'\n", "seasons.0.campain: unknown key; did you mean campaign?"),
            (
                LEAST + SECOND + "at_most = 1\n",
                "seasons.1.at_most: unknown key here; it is a key of another table: at_most (above the first table)",
            ),
            (LEAST + "[arrival]\nsettle = 1\n", "arrival.settle: unknown key; did you mean settle_seconds?"),
            (LEAST + "[runtime]\nworker = 4\n", "runtime.worker: unknown key; did you mean workers?"),
            (
                LEAST + SOURCE + "manifesto = 'x'\n",
                "seasons.0.source.manifesto: unknown key; did you mean manifest?",
            ),
            ("[[seasons]]\nfitted_by = 'x'\n", "seasons.0.campaign: missing"),
            (LEAST + "[seasons.source]\nkind = 'folder'\n", "seasons.0.source.root: missing"),
        ],
    )
    def test_keys(self, tmp_path: Path, text: str, found: str) -> None:
        assert problems(tmp_path, text) == [found]

    @pytest.mark.parametrize(
        ("text", "key", "got"),
        [
            ("at_most = 0\n" + LEAST, "at_most", "0"),
            ("at_most = 65\n" + LEAST, "at_most", "65"),
            ("name = 'My Backfill'\n" + LEAST, "name", "'My Backfill'"),
            ("[[seasons]]\ncampaign = '../up'\n", "seasons.0.campaign", "'../up'"),
            (LEAST + "fitted_by = 'A/B'\n", "seasons.0.fitted_by", "'A/B'"),
            (LEAST + "dates = []\n", "seasons.0.dates", "[]"),
            (LEAST + "dates = ['2021-13-01']\n", "seasons.0.dates.0", "'2021-13-01'"),
            (LEAST + "source = 'images'\n", "seasons.0.source", "'images'"),
            (LEAST + "[arrival]\nsettle_seconds = -1\n", "arrival.settle_seconds", "-1"),
            (LEAST + "[arrival]\npatience_minutes = -1\n", "arrival.patience_minutes", "-1"),
            (LEAST + "[arrival]\nmarker = 'a/b'\n", "arrival.marker", "'a/b'"),
            (LEAST + "[runtime]\ndevice = 'tpu'\n", "runtime.device", "'tpu'"),
            ("seasons = []\n", "seasons", "[]"),
            ("seasons = ['field2']\n", "seasons.0", "'field2'"),
            ("[seasons]\ncampaign = 'x'\n", "seasons", "{'campaign': 'x'}"),
            ("runtime = 5\n" + LEAST, "runtime", "5"),
        ],
    )
    def test_values(self, tmp_path: Path, text: str, key: str, got: str) -> None:
        (problem,) = problems(tmp_path, text)
        assert problem.startswith(f"{key}: ") and problem.endswith(f", got {got}")

    def test_a_date_twice_and_a_season_twice(self, tmp_path: Path) -> None:
        (twice,) = problems(tmp_path, LEAST + "dates = ['2021-08-25', '2021-08-25']\n")
        assert twice.startswith("seasons.0.dates: ") and "every acquisition date once" in twice
        (again,) = problems(tmp_path, LEAST + SECOND + LEAST + "fitted_by = 'x'\n")
        assert again.startswith("seasons: ") and "field2-2021 is there more than once" in again

    def test_an_unknown_source_lists_the_known(self, tmp_path: Path) -> None:
        (problem,) = problems(tmp_path, LEAST + "[seasons.source]\nkind = 'coco'\n")
        assert all(kind in problem for kind in ("coco", "growliflower", "fiftyone", "folder", "synthetic"))

    def test_every_mistake_at_once(self, tmp_path: Path) -> None:
        found = problems(tmp_path, "at_most = 0\n" + LEAST + "x = 1\n[[seasons]]\n[arrival]\nmarker = ''\n")
        assert [line.split(":")[0] for line in found] == [
            "at_most",
            "arrival.marker",
            "seasons.0.x",
            "seasons.1.campaign",
        ]

    def test_words_of_the_refusal(self, tmp_path: Path) -> None:
        error = refusal(write(tmp_path, "at_most = 0\n" + LEAST))
        assert error.rule == "The keys and values of seasons.toml must be those of a backfill"
        page = re.findall(r"docs/reference/\S+\.md", error.remedy)[0]
        assert "| `at_most` |" in (ROOT / page).read_text(encoding="utf-8")

    def test_bad_toml_no_text_no_file_and_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "image.toml").write_bytes(b"\x89PNG\xff\xfe")
        write(tmp_path, LEAST + "[[seasons\n", "broken.toml")
        for name in ("image.toml", "absent.toml", ".", "broken.toml"):
            error = refusal(tmp_path / name)
            assert error.rule == "harvest backfill takes a TOML file" and str(tmp_path / name) in error.found
        assert "line 3" in refusal(tmp_path / "broken.toml").found
