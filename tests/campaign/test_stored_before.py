"""A store that version 0.1.0 wrote: what a run finds in it, what it makes anew, and who refuses its record."""

import io
import json
import sys
from collections.abc import Generator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prefect.serializers import prefect_json_object_decoder

from flows.cli import main as cli
from flows.cli.run_file import load_run_file
from storage.artifacts import ArtifactRef, Store
from storage.errors import OutdatedError
from storage.records.campaigns import read_record
from storage.tables import TABLES
from storage.tables.parquet import load_table
from storage.verify import verify_store
from tests.support.campaigns import run_small
from tests.support.prefect_api import api_in_this_process
from tests.support.stored import stored_store

pytestmark = pytest.mark.slow

SET_BY_COMMANDS = (
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL",
    "PREFECT_SERVER_ANALYTICS_ENABLED",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS",
    "DO_NOT_TRACK",
)
NEVER_CACHED = {"survey before", "rehearse before", "publish before"}
MAY_BE_EMPTY = {"rejected", "drift"}  # nothing was left out; a date has no unseen plant
DAYS = ("2022-08-25", "2022-09-03")
# What takes long is found: images, plants, classifier, answers, saliency maps and clusters.
FOUND = {
    *(f"{verb} before" for verb in ("check", "augment", "train")),
    *(f"{verb} before {day}" for verb in ("ingest", "predict") for day in DAYS),
    *(f"explain before {images}" for images in ("2022-08-25 gradcam 0..14", "2022-09-03 gradcam 0..2")),
    *(f"gather before {day} gradcam" for day in DAYS),
    "cluster before gradcam",
}
# Tasks of the campaign that run again, and why.
OF_CAMPAIGN = {
    "crossfit": "a plant has no votes in its own novelty, and a model of ready plants is fitted",
    "score": "intervals and tests of clusters count plants",
    "decide": "the rule tests plants, not images",
    "sensitivity": "it follows the rule",
    "promise": "there were no promises",
    "measure": "intervals are by plants, and there were no decided answers",
    "calibration": "there was no such table",
    "evaluate": "other scores are judged",
}
# Tasks of each date that run again, and why.
OF_DATE = {
    "assign": "plants that the fit has seen are marked",
    "reliability": "the probabilities know the share of ready plants",
    "adjust": "it follows the reliability",
    "drift": "it counts plants and tests answers",
    "decide": "there were no decisions",
    "export": "it is made from the decisions",
}
MADE_AGAIN = {
    *(f"{verb} before gradcam" for verb in OF_CAMPAIGN),
    *(f"{verb} before {day} gradcam" for verb in OF_DATE for day in DAYS),
    "report before",
}
KEPT_TABLES = {"plants", "observations", "rejected", "augmentation", "epochs", "predictions"}
NEW_TABLES = {"promises", "decided", "ready_counts", "calibration"}
# Tables of version 0.1.0 whose schema has changed since; the others can be read as they are.
OUTDATED = {"assignments", "clusters", "swaps", "reliability", "adjusted", "metrics", "drift"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return stored_store(tmp_path)


@pytest.fixture(scope="module")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    with api_in_this_process(tmp_path_factory.mktemp("prefect")):
        yield


def table_bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in (folder / "store/tables").rglob("*.parquet")}


def rows_of(content: bytes) -> pa.Table:
    return pq.read_table(io.BytesIO(content))


def test_records_of_cached_results_are_references(folder: Path) -> None:
    """Prefect gives a plain dictionary, without a word, where the class that a record names cannot be imported."""
    records = [path for path in (folder / "store/prefect-results").iterdir() if path.is_file()]
    assert len(records) > 25
    for path in records:
        result = json.loads(json.loads(path.read_bytes())["result"], object_hook=prefect_json_object_decoder)
        refs = result if isinstance(result, list) else [result]
        assert refs and all(isinstance(ref, ArtifactRef) for ref in refs), path.name
        assert all(Store(folder / "store").holds(ref) for ref in refs), path.name


def test_manifests_and_tables_are_read_or_known_to_be_of_an_earlier_version(folder: Path) -> None:
    found = verify_store(Store(folder / "store"))
    assert found.problems == [] and found.unfinished == [] and found.n_artifacts > 25
    assert {Path(name).stem for name in found.outdated if name.startswith("artifacts/")} == OUTDATED
    tables = sorted((folder / "store/tables").rglob("*.parquet"))
    assert len({table_of(path, folder) for path in tables}) > 14
    outdated = [path for path in tables if table_of(path, folder) in OUTDATED]
    assert {str(path.relative_to(folder / "store")) for path in outdated} == {
        name for name in found.outdated if name.startswith("tables/")
    }
    for path in tables:
        spec = TABLES[table_of(path, folder)]
        if path in outdated:
            with pytest.raises(OutdatedError, match="An earlier version of the program wrote it: run the campaign"):
                load_table(path, spec)
        else:
            assert load_table(path, spec).num_rows > 0 or spec.name in MAY_BE_EMPTY, path
    assert (folder / "store" / read_record(Store(folder / "store"), "before").report).is_file()


def table_of(path: Path, folder: Path) -> str:
    """Name of the table that a published file belongs to."""
    return path.relative_to(folder / "store/tables").parts[0]


def test_damage_to_a_table_of_an_earlier_version_is_still_found(folder: Path) -> None:
    path = next((folder / "store/tables/clusters").rglob("*.parquet"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    problems = verify_store(Store(folder / "store")).problems
    assert any("file part-0.parquet has changed content" in problem for problem in problems)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("report", "before"), "made by an earlier version of the program"),
        (("report", "before", "--tolerated-error", "0.2"), "made by an earlier version of the program"),
        (("score", "before", "--date", "2022-08-30"), "made by an earlier version of the program"),
        (("review", "before"), "An earlier version of the program wrote it"),
        (("review", "before", "--keep", "1", "--reviewer", "A", "--reason", "b"), "An earlier version of the program"),
    ],
)
@pytest.mark.usefixtures("prefect_api")
def test_a_record_of_it_is_refused_in_one_message(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    said: str,
) -> None:
    """What reads answers, scores dates or decides on clusters would take other parameters for its own."""
    for name in SET_BY_COMMANDS:
        monkeypatch.setenv(name, "")  # so that what the command sets ends with this test
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "argv", ["harvest", *command, "--store", str(folder / "store")])
    before = published(folder)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    error = capsys.readouterr().err
    messages = [line for line in error.splitlines() if line.startswith("error: ")]
    assert ended.value.code in (1, 2) and len(messages) == 1
    assert said in error and "run the campaign again" in error and "images, classifier and maps are cached" in error
    assert published(folder) == before


def published(folder: Path) -> dict[str, bytes]:
    """Everything in the store but its artefacts."""
    there = (path for path in (folder / "store").rglob("*") if path.is_file())
    named = {str(path.relative_to(folder / "store")): path for path in there}
    ours = ("tables/", "reports/", "exports/", "campaigns/", "reviews/", "acquisitions/")
    return {name: path.read_bytes() for name, path in named.items() if name.startswith(ours)}


@pytest.mark.usefixtures("one_thread", "prefect_api")
def test_a_run_on_it_finds_what_takes_long_and_makes_the_rest_anew(folder: Path) -> None:
    params, _ = load_run_file(folder / "before.toml")
    record, tables = read_record(Store(folder / "store"), "before"), table_bytes(folder)
    again = run_small(params, folder / "store")
    states = again.states()
    assert {name for name, state in states.items() if state == "Cached"} == FOUND
    assert {name for name, state in states.items() if state == "Completed"} == NEVER_CACHED | MADE_AGAIN
    assert len(states) == len(FOUND | NEVER_CACHED | MADE_AGAIN)
    kinds = ("survey", "images", "plants", "augmentation", "classifier", "predictions", "saliency", "clusters")
    kept = {role: ref for role, ref in record.artifacts.items() if role.split()[0] in kinds}
    assert {role: again.record.artifacts[role] for role in kept} == kept
    others = {str(ref) for role, ref in record.artifacts.items() if role not in kept}
    assert not others & {str(ref) for ref in again.record.artifacts.values()}
    after = table_bytes(folder)
    assert set(tables) <= set(after)
    # Partitions of the earlier layout are written anew, with the words of today about their columns.
    assert {Path(name).parts[2] for name in tables if rows_of(after[name]).equals(rows_of(tables[name]))} == KEPT_TABLES
    assert {Path(name).parts[2] for name in set(after) - set(tables)} == NEW_TABLES
    found = verify_store(Store(folder / "store"))
    assert found.problems == [] and found.outdated != []
    assert not [name for name in found.outdated if name.startswith("tables/")]  # only artefacts that nothing names
