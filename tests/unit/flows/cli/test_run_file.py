"""Tests of the TOML file of `harvest run`: the paper's defaults, and every mistake named."""

import re
from datetime import date
from pathlib import Path

import pytest

from flows.cli.run_file import load_run_file
from flows.parameters import CampaignParams
from storage.errors import InputError
from tasks.adjust.rules import AdjustParams
from tasks.classify.params import GivenClassifier
from tasks.sources.fiftyone.source import FiftyOneSource
from tasks.sources.folder.source import FolderSource
from tests.support import toml_files
from tests.support.repository import ROOT
from tests.support.toml_files import write_file

DATES = 'dates = ["2021-09-03", "2021-08-23"]\n'
LEAST = DATES + '[source]\nkind = "folder"\nroot = "images"\n'


def write(folder: Path, text: str, name: str = "field2.toml") -> Path:
    return write_file(folder, text, name)


def refusal(path: Path) -> InputError:
    return toml_files.refusal(load_run_file, path)


def problems(folder: Path, text: str) -> list[str]:
    return toml_files.problems(load_run_file, write(folder, text))


class TestDefaults:
    def test_source_dates_and_the_papers_rule_alone_are_the_papers_experiment(self, tmp_path: Path) -> None:
        """Compare the defaults with Kierdorf & Roscher 2023; numbers that the paper leaves open are this project's."""
        params, runtime = load_run_file(write(tmp_path, f'adjust.rule = "paper"\n{LEAST}'))
        assert (params.ingest.image_size, params.ingest.window_days) == (256, 3)
        assert (params.augment.plan, params.augment.copies) == ("copies", (8, 16))
        train = params.train
        assert (train.architecture, train.weights, train.epochs, train.batch_size) == ("resnet18", "none", 25, 16)
        assert (train.learning_rate, train.weight_decay) == (1e-4, 1e-4)
        assert (train.step_epochs, train.step_factor) == (5, 0.1)
        explain, cluster = params.explain, params.cluster
        assert (explain.methods, explain.explained_class, explain.gradcam.layer) == (("gradcam",), "predicted", None)
        assert (explain.occlusion.patch, explain.occlusion.stride, explain.occlusion.score) == (11, 2, "probability")
        assert (explain.lime.n_samples, explain.lime.segments) == (1000, "quickshift")
        assert explain.lime.regressor == "least_squares"
        assert (cluster.n_components, cluster.n_clusters, cluster.neighbours) == (50, 8, 5)
        assert (cluster.affinity, cluster.scale, cluster.scaling) == ("sigma", 0.2, "unit")
        assert (params.score.confidence, params.adjust.threshold) == (0.95, 0.75)
        assert params.classifier is None and params.differences_from_paper() == {}
        assert runtime.device == "auto"
        tested, _ = load_run_file(write(tmp_path, LEAST))
        assert tested.differences_from_paper() == {"adjust.rule": "confident"}
        assert tested == params.model_copy(update={"adjust": AdjustParams()})

    def test_what_differs_from_the_paper_is_told(self, tmp_path: Path) -> None:
        text = "[cluster]\nscale = 0.5\n[runtime]\nworkers = 7"
        params, runtime = load_run_file(write(tmp_path, LEAST + text))
        assert params.differences_from_paper() == {"cluster.scale": 0.5, "adjust.rule": "confident"}
        assert runtime.workers == 7
        trained, _ = load_run_file(write(tmp_path, LEAST + "[train]\nepochs = 8\nseed = 0\n"))
        assert trained.differences_from_paper() == {"train.epochs": 8, "adjust.rule": "confident"}
        given, _ = load_run_file(write(tmp_path, LEAST + "[classifier]\npath = 'w.pt'\n"))
        classifier = GivenClassifier(path=str(tmp_path / "w.pt")).model_dump(mode="json")
        assert given.differences_from_paper() == {"adjust.rule": "confident", "classifier": classifier}

    def test_dates_are_sorted_and_may_be_toml_dates(self, tmp_path: Path) -> None:
        params, _ = load_run_file(write(tmp_path, LEAST.replace('"2021-08-23"', "2021-08-23")))
        assert params.dates == (date(2021, 8, 23), date(2021, 9, 3))

    def test_a_run_s_record_gives_the_same_parameters(self, tmp_path: Path) -> None:
        params, _ = load_run_file(write(tmp_path, LEAST + "[augment]\ncopies = [2, 3]\n"))
        assert CampaignParams.model_validate(params.model_dump(mode="json")) == params


class TestNames:
    @pytest.mark.parametrize(
        ("file", "campaign"),
        [
            ("field2-2021.toml", "field2-2021"),
            ("Field 2 (2021).toml", "field-2-2021-"),
            ("v1.2_b.toml", "v1.2_b"),
            ("Süd.toml", "s-d"),
        ],
    )
    def test_the_file_names_the_campaign(self, tmp_path: Path, file: str, campaign: str) -> None:
        assert load_run_file(write(tmp_path, LEAST, file))[0].campaign == campaign

    def test_a_name_in_the_file_wins(self, tmp_path: Path) -> None:
        assert load_run_file(write(tmp_path, 'campaign = "mine"\n' + LEAST))[0].campaign == "mine"

    @pytest.mark.parametrize("name", ["../up", "Upper", "", "a/b", "x" * 65, ".hidden"])
    def test_a_name_that_is_no_folder_is_refused(self, tmp_path: Path, name: str) -> None:
        (problem,) = problems(tmp_path, f"campaign = '{name}'\n" + LEAST)
        assert problem.startswith("campaign: ") and repr(name) in problem


class TestPaths:
    def test_relative_paths_start_at_the_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "elsewhere").mkdir()
        path = write(tmp_path / "plans", LEAST.replace("images", "../images") + "[classifier]\npath = 'w.pt'\n")
        monkeypatch.chdir(tmp_path / "elsewhere")
        for given in (path, Path("../plans/field2.toml")):
            params, _ = load_run_file(given)
            assert isinstance(params.source, FolderSource) and params.classifier
            assert params.source.root == str(tmp_path / "images")
            assert params.classifier.path == str(tmp_path / "plans/w.pt")

    def test_absolute_paths_and_the_home_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        for root, expected in (("/data/season", "/data/season"), ("~/season", f"{tmp_path}/home/season")):
            params, _ = load_run_file(write(tmp_path, LEAST.replace("images", root)))
            assert isinstance(params.source, FolderSource) and params.source.root == expected

    def test_paths_inside_the_source_stay_relative_to_its_root(self, tmp_path: Path) -> None:
        text = DATES + '[source]\nkind = "fiftyone"\nroot = "a"\nutm_folder = "splits"\n'
        params, _ = load_run_file(write(tmp_path, text))
        assert isinstance(params.source, FiftyOneSource)
        assert (params.source.root, params.source.utm_folder) == (str(tmp_path / "a"), "splits")


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "key", "near"),
        [
            ("[cluster]\nn_cluster = 4\n", "cluster.n_cluster", "n_clusters"),
            ("[trian]\nepochs = 4\n", "trian", "train"),
            ("[train]\nlearning_rat = 1\n", "train.learning_rat", "learning_rate"),
            ("[runtime]\nworker = 4\n", "runtime.worker", "workers"),
            ("plant_colum = 'x'\n", "source.plant_colum", "plant_column"),
        ],
    )
    def test_an_unknown_key_is_named_with_a_suggestion(self, tmp_path: Path, text: str, key: str, near: str) -> None:
        assert problems(tmp_path, LEAST + text) == [f"{key}: unknown key; did you mean {near}?"]

    def test_a_key_like_no_other_gets_no_suggestion(self, tmp_path: Path) -> None:
        assert problems(tmp_path, LEAST + "[train]\nzzzqqq = 1\n") == ["train.zzzqqq: unknown key"]

    def test_a_key_of_another_table(self, tmp_path: Path) -> None:
        found = problems(tmp_path, LEAST + "[train]\nscale = 1\n")
        assert found == ["train.scale: unknown key here; it is a key of another table: cluster.scale"]

    @pytest.mark.parametrize(
        ("text", "key", "got"),
        [
            ("[ingest]\nimage_size = 16\n", "ingest.image_size", "16"),
            ("[ingest]\nmax_bad_share = 1.5\n", "ingest.max_bad_share", "1.5"),
            ("[train]\nlearning_rate = 0\n", "train.learning_rate", "0"),
            ("[train]\nepochs = 'many'\n", "train.epochs", "'many'"),
            ("[cluster]\naffinity = 'cosine'\n", "cluster.affinity", "'cosine'"),
            ("[adjust]\nthreshold = 0.4\n", "adjust.threshold", "0.4"),
            ("[runtime]\ndevice = 'tpu'\n", "runtime.device", "'tpu'"),
            ("[runtime]\nworkers = 0\n", "runtime.workers", "0"),
        ],
    )
    def test_a_value_out_of_bounds(self, tmp_path: Path, text: str, key: str, got: str) -> None:
        (problem,) = problems(tmp_path, LEAST + text)
        assert problem.startswith(f"{key}: must be ") and problem.endswith(f", got {got}")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (
                "scheduler = 'tcp://head:8786'",
                'a scheduler is given, but runtime.task_runner is "threads"',
            ),
            ("task_runner = 'dask'\nscheduler = 'head'", "'head' is no address of a Dask scheduler"),
            ("task_runner = 'ray'", "must be 'threads' or 'dask', got 'ray'"),
        ],
    )
    def test_a_scheduler_is_an_address_for_dask(self, tmp_path: Path, text: str, said: str) -> None:
        (problem,) = problems(tmp_path, f"{LEAST}[runtime]\n{text}\n")
        assert problem.startswith("runtime.") and said in problem

    @pytest.mark.parametrize(
        ("keys", "replacements"),
        [
            (("undecided",), "decide.tolerated_error"),
            (("widest",), "decide.tolerated_error"),
            (("least_novelty",), "decide.least_novelty"),
            (("widest", "undecided", "least_novelty"), "decide.least_novelty, decide.tolerated_error"),
        ],
    )
    def test_keys_of_earlier_versions_are_one_message(
        self, tmp_path: Path, keys: tuple[str, ...], replacements: str
    ) -> None:
        text = "".join(f"{key} = 0.1\n" for key in keys)
        (problem,) = problems(tmp_path, f"{LEAST}[score]\nconfidence = 0.9\n{text}")
        assert problem.startswith("score: ") and f"{', '.join(sorted(keys))}, which no longer exist" in problem
        assert problem.endswith(f"set {replacements}") or f"set {replacements}, got" in problem

    def test_every_mistake_at_once(self, tmp_path: Path) -> None:
        found = problems(tmp_path, LEAST + "[train]\nepoch = 1\nepochs = 0\n[cluster]\nscale = -1\n")
        assert sorted(line.split(":")[0] for line in found) == ["cluster.scale", "train.epoch", "train.epochs"]

    def test_a_date_twice_no_date_and_no_date_at_all(self, tmp_path: Path) -> None:
        (twice,) = problems(tmp_path, LEAST.replace("2021-09-03", "2021-08-23"))
        assert twice.startswith("dates: ") and "every acquisition date once" in twice
        (none,) = problems(tmp_path, re.sub("dates = .*", "dates = []", LEAST))
        (wrong,) = problems(tmp_path, re.sub("dates = .*", "dates = ['2021-13-01']", LEAST))
        assert none.startswith("dates: ") and wrong.startswith("dates.0: ") and "'2021-13-01'" in wrong

    def test_missing_keys(self, tmp_path: Path) -> None:
        assert problems(tmp_path, "") == ["source: missing", "dates: missing"]
        assert problems(tmp_path, DATES + "[source]\nkind = 'folder'\n") == ["source.root: missing"]

    def test_an_unknown_source_lists_the_known(self, tmp_path: Path) -> None:
        (problem,) = problems(tmp_path, DATES + "[source]\nkind = 'coco'\n")
        assert problem.startswith("source: ")
        assert all(kind in problem for kind in ("coco", "growliflower", "fiftyone", "folder", "synthetic"))

    def test_a_value_where_a_table_belongs(self, tmp_path: Path) -> None:
        assert problems(tmp_path, "runtime = 5\n" + LEAST)[0].startswith("runtime: ")
        assert problems(tmp_path, DATES + "source = 'images'\n")[0].startswith("source: ")

    def test_bad_toml_names_the_line(self, tmp_path: Path) -> None:
        error = refusal(write(tmp_path, DATES + "[source\n"))
        assert "field2.toml" in error.found and "line 2" in error.found

    def test_no_text_no_file_and_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "image.toml").write_bytes(b"\x89PNG\xff\xfe")
        for name in ("image.toml", "absent.toml", "."):
            error = refusal(tmp_path / name)
            assert error.rule == "harvest run takes a TOML file" and str(tmp_path / name) in error.found

    def test_the_remedy_names_nothing_that_is_not_there(self, tmp_path: Path) -> None:
        remedy = refusal(write(tmp_path, LEAST + "[train]\nepoch = 1\n")).remedy
        page = re.findall(r"docs/reference/\S+\.md", remedy)[0]
        assert "| `train.epochs` |" in (ROOT / page).read_text(encoding="utf-8") and "--" not in remedy
