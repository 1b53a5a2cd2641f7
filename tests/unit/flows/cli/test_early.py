"""Bad inputs through the real command: what a command line, a file or a folder shows is one message, at once."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torchvision
from PIL import Image

from flows.cli.checks.early import architectures, n_cuda_devices
from storage.artifacts import Store
from storage.records.campaigns import CampaignRecord, write_record
from tests.support.local_stores import local
from tests.support.report_campaign import FakeCampaign
from tests.support.repository import ROOT
from tests.unit.flows.cli.test_main import is_one_message, main

# Packages that a quick answer cannot wait for: each takes from a tenth of a second to seconds to import.
HEAVY = (
    "prefect torch torchvision sklearn scipy pandas pyarrow zarr rasterio skimage matplotlib distributed pyproj rich "
    "huggingface_hub"
)
LEAST = 'dates = ["2021-08-23"]\n[source]\nkind = "folder"\nroot = "images"\n'
CLASSIFIER = '[classifier]\npath = "weights.pt"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write two images in the folders of a plain source, and a file that stands for a classifier."""
    for name in ("train/ready/a.png", "val/not_ready/b.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8), (3, 100, 7)).save(path)
    (tmp_path / "weights.pt").write_bytes(b"weights")
    return tmp_path


@pytest.fixture
def say(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Return a function that runs a command on a campaign's file, and returns exit code and message."""

    def run(text: str, command: str = "run") -> tuple[int, str]:
        (folder / "field2.toml").write_text(text, encoding="utf-8")
        code = main(monkeypatch, command, folder / "field2.toml", "--store", folder / "store")
        said = capsys.readouterr()
        assert said.out == "" and is_one_message(said.err) and not (folder / "store").exists()
        return code, said.err

    return run


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # keys: the line, and the right key
        ('name = "x"\n' + LEAST, "line 1: name: unknown key; did you mean campaign?"),
        ('Dates = ["2021-08-23"]\n' + LEAST, "line 1: Dates: unknown key; did you mean dates?"),
        (LEAST.replace("root", "path"), "line 4: source.path: unknown key; did you mean root?"),
        (LEAST.replace("root", "folder"), "line 4: source.folder: unknown key; did you mean root?"),
        (LEAST.replace("kind", "type"), "line 2: source: its key kind is missing"),
        (LEAST + 'utm_folder = "x"\n', "line 5: source.utm_folder: unknown key here; it is a key of another kind"),
        (LEAST + "[train]\nlr = 0.1\n", "line 6: train.lr: unknown key; did you mean learning_rate?"),
        (LEAST + "[train]\nbatch = 8\n", "line 6: train.batch: unknown key; did you mean batch_size?"),
        (LEAST + "[train]\nmodel = 'x'\n", "line 6: train.model: unknown key; did you mean architecture?"),
        (LEAST + "[train]\nn_clusters = 4\n", "it is a key of another table: cluster.n_clusters"),
        (LEAST + "[cluster]\nk = 4\n", "line 6: cluster.k: unknown key; did you mean n_clusters?"),
        (LEAST + "[explain.gradcam]\nlayers = 'x'\n", "explain.gradcam.layers: unknown key; did you mean layer?"),
        (LEAST + "[explian]\n", "line 5: explian: unknown key; did you mean explain?"),
        (LEAST + "[runtime]\nthreads = 4\n", "line 6: runtime.threads: unknown key; did you mean workers?"),
        (LEAST + "[runtime]\ngpu = true\n", "line 6: runtime.gpu: unknown key; did you mean device?"),
        ("train = { epochs = 3, lr = 1 }\n" + LEAST, "line 1: train.lr: unknown key"),
        ("train.epoch = 3\n" + LEAST, "line 1: train.epoch: unknown key; did you mean epochs?"),
        # values in plain words
        (LEAST + "[train]\nepochs = 0\n", "line 6: train.epochs: must be at least 1, got 0"),
        (LEAST + "[train]\nepochs = 2.5\n", "line 6: train.epochs: must be a whole number, got 2.5"),
        (LEAST + "[train]\nlearning_rate = 'fast'\n", "train.learning_rate: must be a number, got 'fast'"),
        (LEAST + "[train]\nlearning_rate = nan\n", "train.learning_rate: must be at most 1, got nan"),
        (LEAST + "[train]\nweights = 'coco'\n", "train.weights: must be 'none' or 'imagenet', got 'coco'"),
        (LEAST + "[cluster]\nn_clusters = 1\n", "cluster.n_clusters: must be at least 2, got 1"),
        (LEAST + "[cluster]\nn_clusters = 101\n", "cluster.n_clusters: must be at most 100, got 101"),
        (LEAST + "[cluster]\nchoose_kernel = 'yes please'\n", "cluster.choose_kernel: must be true or false"),
        (LEAST + "[adjust]\nthreshold = 0.4\n", "adjust.threshold: must be at least 0.5, got 0.4"),
        (LEAST + "[adjust]\nalpha = 1\n", "adjust.alpha: must be less than 1, got 1"),
        (LEAST + "[export]\ncrs = 'utm32'\n", "export.crs: must be EPSG: and a number, for example EPSG:25832"),
        (LEAST + "[export]\ncrs = 'EPSG:4326'\n", "positions must be easting and northing in metres"),
        (LEAST + "train = 5\n", "line 5: source.train: unknown key"),
        ("train = 5\n" + LEAST, "line 1: train: must be a table, got 5"),
        ("campaign = 5\n" + LEAST, "line 1: campaign: must be a text in quotes, got 5"),
        ("campaign = 'Field 2'\n" + LEAST, "line 1: campaign: must be up to 64 lower-case letters"),
        (LEAST.replace('["2021-08-23"]', '"2021-08-23"'), "line 1: dates: must be a list in square brackets"),
        (LEAST.replace("2021-08-23", "2021-02-30"), "line 1: dates.0: must be a date that exists, as YYYY-MM-DD"),
        (LEAST.replace("2021-08-23", "23.8.2021"), "line 1: dates.0: must be a date that exists, as YYYY-MM-DD"),
        (LEAST.replace('["2021-08-23"]', "[]"), "line 1: dates: must be a list of at least 1, got []"),
        (LEAST.replace("folder", "coco"), "source: kind must be one of 'growliflower', 'fiftyone', 'field', 'folder'"),
        (LEAST + "[explain]\nmethods = ['gradcam', 'lime', 'gradcam']\n", "gradcam is given more than once"),
        (LEAST + "[explain]\nmethods = []\n", "explain.methods: must be a list of at least 1"),
        (LEAST + "[explain]\nmethods = ['shap']\n", "explain.methods.0: must be 'gradcam', 'occlusion'"),
        # tables without effect
        (LEAST + CLASSIFIER + "[train]\nepochs = 3\n", "line 7: train: has no effect beside the table classifier"),
        (LEAST + CLASSIFIER + "[augment]\ncopies = [1]\n", "line 7: augment: has no effect beside the table"),
        # what stands elsewhere
        (LEAST.replace("images", "nowhere"), "/nowhere"),
        (LEAST.replace("images", "weights.pt"), "There is no folder"),
        (LEAST + CLASSIFIER.replace("weights", "gone"), "gone.pt does not exist"),
        (LEAST + CLASSIFIER.replace("weights.pt", "images"), "images is a folder"),
        (LEAST + CLASSIFIER + "architecture = 'resnet19'\n", "classifier.architecture is 'resnet19'"),
        (LEAST + "[train]\narchitecture = 'resnet19'\n", "use for example resnet18"),
        (LEAST + "[train]\narchitecture = 'exported'\n", "train.architecture is 'exported'"),
        (LEAST + "[augment]\ncopies = [0]\n", "augment.copies is [0]"),
        (LEAST + "[augment]\ncopies = []\n", "augment.copies is []"),
        (LEAST + "classes = ['a', 'b']\n[augment]\ncopies = [1, 2, 3]\n", "augment.copies is [1, 2, 3] for 2 classes"),
        (LEAST + "[explain]\nmethods = ['occlusion_preview']\n", "the maps of occlusion_preview are approximate"),
        ('dates = ["2021-08-23"]\n[source]\nkind = "synthetic"\n[augment]\ncopies = [1, 2, 3]\n', "for 2 classes"),
        ('dates = ["2020-01-01"]\n[source]\nkind = "synthetic"\n', "The source has no image for 2020-01-01"),
    ],
)
def test_a_campaign_that_cannot_be_run(say: Callable[..., tuple[int, str]], text: str, said: str) -> None:
    code, error = say(text)
    assert code == 2 and said in error and "Input should be" not in error and "pydantic" not in error


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LEAST + "[train]\nepochs = 0\n", "line 6: train.epochs: must be at least 1, got 0"),
        (LEAST.replace("images", "nowhere"), "There is no folder"),
        (LEAST + CLASSIFIER.replace("weights", "gone"), "gone.pt does not exist"),
    ],
)
def test_a_campaign_that_cannot_be_planned(say: Callable[..., tuple[int, str]], text: str, said: str) -> None:
    code, error = say(text, "plan")
    assert code == 2 and said in error


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"dates = [\n", "cannot be read as TOML"),
        (b"\xff\xfed\x00", "is not text in UTF-8: byte 0 is 0xff"),
        (b"", "dates: missing"),
        (b"PK\x03\x04", "cannot be read as TOML"),
        (b"dates = 1\ndates = 2\n", "cannot be read as TOML"),
    ],
)
def test_a_file_that_is_no_campaign(
    content: bytes, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "field2.toml").write_bytes(content)
    assert main(monkeypatch, "run", folder / "field2.toml") == 2
    error = capsys.readouterr().err
    assert is_one_message(error) and said in error


@pytest.mark.skipif(n_cuda_devices() != 0, reason="this machine has a CUDA device, or no NVIDIA driver to ask")
def test_cuda_without_a_gpu(say: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    code, error = say(LEAST + "[runtime]\ndevice = 'cuda'\n")
    assert code == 2 and "finds no CUDA device" in error and "auto or cpu" in error


def test_architectures_are_those_of_torchvision() -> None:
    assert architectures() == set(torchvision.models.list_models(module=torchvision.models))


@pytest.mark.parametrize("store", ["weights.pt", "weights.pt/below", "link"])
def test_a_store_that_is_no_folder(
    store: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "link").symlink_to("gone")
    for command in (("report", "x"), ("run", folder / "x.toml"), ("list",), ("score", "x", "--date", "2021-08-30")):
        assert main(monkeypatch, *command, "--store", folder / store) == 2
        error = capsys.readouterr().err
        assert is_one_message(error) and "cannot be a folder" in error


class TestDatesAndClusters:
    @pytest.fixture
    def campaign(self, tmp_path: Path) -> FakeCampaign:
        made = FakeCampaign(tmp_path / "store", n_plants=12)
        record = CampaignRecord(campaign="field2-2021", params=made.params, artifacts=made.roles, report="")
        write_record(made.store, record)
        return made

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("score", "field2-2021", "--date", "{day}"), "is one of the dates of field2-2021, and is in its tables"),
            (("score", "Field 2", "--date", "2021-10-01"), "There is no record of 'Field 2'"),
            (("gallery", "field2-2021", "--cluster", "99"), "There is no cluster 99 of gradcam; its clusters are 1, 2"),
            (("gallery", "field2-2021", "--cluster", "1", "--method", "lime"), "the saliency method is lime"),
            (("review", "field2-2021", "--swap", "99", "--reviewer", "A", "--reason", "b"), "99"),
            (("review", "field2-2021", "--swap", "1", "--keep", "1"), "cluster 1 is named more than once"),
            (("review", "field2-2021", "--swap", "1"), "reviewer"),
            (("review", "field2-2021", "--forget", "--swap", "1"), "--forget is given together with decisions"),
            (("audit", "field2-2021", "--method", "shap"), "The saliency method is shap; the campaign has gradcam"),
            (("status", "other"), "There is no record of 'other'"),
            (("open", "other"), "There is no record of 'other'"),
        ],
    )
    def test_one_message(
        self,
        campaign: FakeCampaign,
        arguments: tuple[str, ...],
        said: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        day = campaign.params["dates"][0]
        given = [one.replace("{day}", str(day)) for one in arguments]
        assert main(monkeypatch, *given, "--store", local(campaign.store.root)) == 2
        error = capsys.readouterr().err
        assert is_one_message(error) and said in error


@pytest.mark.parametrize(
    ("arguments", "code", "free"),
    [
        (["--help"], 0, "pydantic numpy"),
        (["--version"], 0, "pydantic numpy"),
        (["complete", "r"], 0, "numpy"),
        (["run", "--help"], 0, "numpy"),
        (["run", "absent.toml"], 2, ""),
        (["fetch", "--help"], 0, "numpy"),
        (["fetch", "growliflower", "weights.pt"], 2, "numpy"),
        (["run", "wrong.toml"], 2, ""),
        (["run", "field2.toml"], 2, ""),
        (["score", "field2", "--date", "2021-08-23"], 2, ""),
    ],
)
def test_what_a_quick_answer_may_not_import(folder: Path, arguments: list[str], code: int, free: str) -> None:
    (folder / "wrong.toml").write_text(LEAST + "[train]\nepoch = 3\n")
    (folder / "field2.toml").write_text(LEAST.replace("images", "nowhere"))
    program = (
        "import sys; from flows.cli.main import main; sys.argv[0] = 'harvest'\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    code = ended.code\n"
        f"print('\\n' + ' '.join(sorted(set({f'{HEAVY} {free}'.split()}) & set(sys.modules))), code, sep='|')"
    )
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    if arguments[0] == "complete":  # what the shell asks when Tab is pressed
        words = f"harvest {arguments.pop()}"
        variables |= {"_HARVEST_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "1"}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"|{code}"
    assert "complete" not in arguments or {"run", "report", "review"} <= set(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("run", "absent.toml"), "input"),
        (("report", "absent"), "input"),
        (("verify", "absent"), "input"),
        (("run",), "usage"),
        (("list", "--sotre", "x"), "usage"),
        (("score", "x", "--date", "soon"), "usage"),
    ],
)
def test_errors_as_json(
    arguments: tuple[str, ...],
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(monkeypatch, *arguments, "--json") == 2
    said = capsys.readouterr()
    error = json.loads(said.out)["error"]
    assert (error["kind"], error["exit_code"]) == (kind, 2) and error["message"] and said.err
    assert kind == "usage" or {"found", "rule", "remedy"} <= set(error)


def test_the_environment_names_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_record(Store(tmp_path / "mine"), CampaignRecord(campaign="known", params={}, artifacts={}, report=""))
    monkeypatch.setenv("HARVEST_STORE", str(tmp_path / "mine"))
    for command in (
        ("status", "x"),
        ("report", "x"),
        ("gallery", "x", "--cluster", "1"),
        ("open", "x"),
    ):
        assert main(monkeypatch, *command) == 2
        assert "campaigns there: known" in capsys.readouterr().err
    assert main(monkeypatch, "verify") == 2 and str(tmp_path / "mine") in capsys.readouterr().err
