"""Every TOML, SQL and Python block of README and docs does what the page says, on small real files."""

import itertools
import shutil
import subprocess
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from flows.cli.run_file import load_run_file
from flows.cli.seasons_file import load_seasons_file
from storage.artifacts import Recipe, Store
from storage.published.publish import publish_table
from storage.tables import ASSIGNMENTS, CALIBRATION, DECIDED, FOUND, PROMISES, READY_COUNTS, RELIABILITIES
from storage.tables.parquet import TableSpec, write_table
from tasks.classify.model import Classifier, rgb_images
from tasks.parameters import Runtime
from tasks.sources.synthetic.layouts import write_season
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.season import grow_season
from tests.support.documented_store import CAMPAIGN, DAY, PLANT, write_documented_store
from tests.support.markdown import SCRIPT, Block, blocks
from tests.support.report_campaign import DAYS, FakeCampaign, table_rows
from tests.support.repository import ROOT
from tests.support.small_field import write_documented_field

RUN = [block for block in blocks("python") if block.not_run is None]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> FakeCampaign:
    return write_documented_store(tmp_path_factory.mktemp("documented") / "harvest-store")


def write_source(folder: Path, content: dict[str, Any]) -> None:
    """Write the folder that a campaign file reads, below the file's folder, in the layout of its source."""
    source = content["source"]
    if source["kind"] == "folder":
        write_photographs(folder / source["root"], source) if "harvest_table" in source else run_script(folder)
    if source["kind"] == "field":
        write_documented_field(folder / source["root"])
    if source["kind"] not in ("growliflower", "fiftyone"):
        return
    days = tuple(date.fromisoformat(day) for day in content["dates"])
    season = grow_season(SeasonParams(n_plots=1, plants_per_row=2, image_size=32, dates=days))
    write_season(season, folder / source["root"], source["kind"])
    table = source.get("harvest_table", {})
    if "flag_column" in table:
        visits = [(seen.plant.plant_id, seen.acquired, seen.plant.harvest) for seen in season.observations]
        lines = [f"plant_id,{table['visit_column']},{table['flag_column']}"]
        lines += [f"{plant},{day},{'yes' if end and end <= day else 'no'}" for plant, day, end in visits]
        (folder / source["root"] / table["path"]).write_text("\n".join(lines))


def write_photographs(root: Path, source: dict[str, Any]) -> None:
    """Write the manifest of `docs/sources.md`, the files that it names, and a harvest table of one of its plants."""
    (manifest,) = [block.content for block in blocks("text") if block.content.startswith("file,split,plot")]
    for line in manifest.splitlines()[1:]:
        (root / line.split(",")[0]).parent.mkdir(parents=True, exist_ok=True)
        (root / line.split(",")[0]).write_bytes(line.encode())
    (root / "manifest.csv").write_text(manifest)
    (root / source["harvest_table"]["path"]).write_text("plant_id,harvest_date\nPlot2_E18,2021-08-24\n")


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml_blocks_are_loaded(block: Block, tmp_path: Path) -> None:
    """By the loader of `harvest run` or `harvest backfill`; tables without a source are put into the least campaign."""
    content = tomllib.loads(block.content)
    path = tmp_path / "field2-2021.toml"
    if "seasons" in content:
        path.write_text(block.content)
        assert load_seasons_file(path)[0].seasons
        return
    least = 'dates = ["2021-08-23"]\n[source]\nkind = "synthetic"\n'
    path.write_text(block.content if "source" in content else least + block.content)
    params, runtime = load_run_file(path)
    loaded = {**params.model_dump(mode="json"), "runtime": runtime.model_dump(mode="json")}
    assert_kept(content, loaded, tmp_path)


def assert_kept(given: dict[str, Any], loaded: dict[str, Any], folder: Path) -> None:
    """Every value of a block is what was loaded; paths were put below the file's folder."""
    for key, value in given.items():
        if isinstance(value, dict):
            assert_kept(value, loaded[key], folder)
        else:
            assert loaded[key] in (value, str(folder / str(value))), key


@pytest.mark.parametrize("block", [block for block in blocks("toml") if "[source]" in block.content], ids=str)
def test_sources_of_toml_blocks_list_images(block: Block, tmp_path: Path) -> None:
    """A season in the source's layout is read as the block says."""
    path = tmp_path / "field2-2021.toml"
    path.write_text(block.content)
    write_source(tmp_path, tomllib.loads(block.content))
    params, _ = load_run_file(path)
    listing = params.source.list_images(params.dates)
    assert {image.acquired for image in listing.images} == set(params.dates)
    assert any(image.harvest or image.label is not None for image in listing.images)


def run_script(folder: Path, n: int = 10) -> None:
    """Run the shell lines that sort photographs into splits, on stand-ins named as those of the data set."""
    (script,) = [block.content for block in blocks("sh") if block.content.startswith(SCRIPT)]
    for kind, name in (("healthy", "RS_HL"), ("Apple_scab", "FREC_Scab")):
        photos = folder / "PlantVillage-Dataset/raw/color" / f"Apple___{kind}"
        photos.mkdir(parents=True)
        for i, frame in enumerate(range(998, 998 + n)):
            (photos / f"{7 * i % n}a6039c-e425-4f7d___{name} {frame}.JPG").write_bytes(f"{kind} {frame}".encode())
    bash = shutil.which("bash")
    assert bash is not None
    subprocess.run([bash, "-euo", "pipefail", "-c", script], cwd=folder, check=True)


def test_shell_lines_sort_photographs_by_frame(tmp_path: Path) -> None:
    run_script(tmp_path)
    for kind in ("healthy", "Apple_scab"):
        frames = {
            split: sorted(
                int(path.stem.split()[-1]) for path in (tmp_path / "leaves" / split / f"Apple___{kind}").iterdir()
            )
            for split in ("train", "val", "test")
        }
        # Numbers with three and four digits: sorted as text the split would be another.
        assert frames == {"train": [*range(998, 1004)], "val": [1004, 1005], "test": [1006, 1007]}


@pytest.mark.parametrize("block", RUN, ids=str)
def test_python_blocks_run(
    block: Block, campaign: FakeCampaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(campaign.root, tmp_path / "harvest-store")
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {"__name__": "page"}
    exec(compile(block.content, str(block), "exec"), found)
    checks = [check for name, check in CHECKS.items() if name in found]
    assert len(checks) == 1, f"{block}: say in CHECKS what it must have found"
    checks[0](found, campaign)


def decided_rows(campaign: FakeCampaign, day: str) -> list[dict[str, Any]]:
    return table_rows(campaign, f"decided gradcam {day}", DECIDED)


def check_plan(found: dict[str, Any], campaign: FakeCampaign) -> None:
    plan = {str(day)[:10]: (row.about_ready, row.to_harvest) for day, row in found["plan"].iterrows()}
    rows = decided_rows(campaign, DAY)
    to_harvest = sum(row["answer"] == 1 and not row["check_reason"] for row in rows)
    assert 0 < to_harvest < len(rows) and set(plan) == set(DAYS)
    assert plan[DAY] == pytest.approx((sum(row["ready_probability"] for row in rows), to_harvest))


def check_accuracy(found: dict[str, Any], campaign: FakeCampaign) -> None:
    assert set(found["accuracy"].state) == {"before", "after", "cross-fitted", "decided"}
    assert found["accuracy"].overall_accuracy.between(0, 1).all()


def check_to_harvest(found: dict[str, Any], campaign: FakeCampaign) -> None:
    rows = [row for day in DAYS for row in decided_rows(campaign, day)]
    assert found["to_harvest"].num_rows == sum(row["decision"] == "harvest" for row in rows) > 0
    assert set(found["lazy"].columns) == {*rows[0], "campaign", "date"}


def check_about_ready(found: dict[str, Any], campaign: FakeCampaign) -> None:
    expected = {day: sum(row["ready_probability"] for row in decided_rows(campaign, day)) for day in DAYS}
    shown = {str(row["date"]): row["ready_probability"] for row in found["about_ready"].to_dicts()}
    assert shown == pytest.approx(expected)


def check_maps(found: dict[str, Any], campaign: FakeCampaign) -> None:
    assigned = table_rows(campaign, f"assignments gradcam {DAY}", ASSIGNMENTS)
    rows = {row["plant_id"]: row["row"] for row in assigned}
    assert found["unscaled"].shape == (len(rows), 8, 8) and found["unscaled"].dtype == np.float32
    maps = found["maps"]
    assert dict(zip(maps.plant_id.values.tolist(), maps.rows.values.tolist(), strict=True)) == rows
    assert PLANT in rows and found["explained"].dims == ("image", "y", "x", "channel")


def check_to_check(found: dict[str, Any], campaign: FakeCampaign) -> None:
    n = sum(bool(row["check_reason"]) for row in decided_rows(campaign, DAY))
    assert len(found["to_check"]) == n > 0
    assert found["to_check"].answer_reliability.is_monotonic_increasing
    assert len(found["geopandas"].read_file("check.gpkg")) == n


def check_decisions(found: dict[str, Any], campaign: FakeCampaign) -> None:
    assert set(found["decisions"].decision) == {"harvest", "leave", "check"}
    assert found["decisions"].crs.to_epsg() == 25832


def check_input_gradient(found: dict[str, Any], campaign: FakeCampaign) -> None:
    """Compare with a linear model, whose gradient is its weights whatever the image."""
    linear = nn.Linear(3 * 4 * 4, 2)
    model = nn.Sequential(nn.Flatten(), linear)
    classifier = Classifier(model, ("a", "b"), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), torch.device("cpu"))
    images = rgb_images(np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), np.uint8))
    maps = found["InputGradient"](classifier, Runtime(device="cpu", batch_size=2))(images, np.asarray([1, 0, 1]))
    weights = linear.weight.detach().abs().reshape(2, 3, 4, 4).amax(dim=1).numpy()
    np.testing.assert_allclose(maps, weights[[1, 0, 1]], rtol=1e-6)


# By a name that only this block defines.
CHECKS = {
    "plan": check_plan,
    "accuracy": check_accuracy,
    "to_harvest": check_to_harvest,
    "about_ready": check_about_ready,
    "maps": check_maps,
    "to_check": check_to_check,
    "decisions": check_decisions,
    "InputGradient": check_input_gradient,
}


def test_every_check_has_its_block() -> None:
    assert len(RUN) == len(CHECKS)


def test_the_outline_of_a_task_is_that_of_the_code() -> None:
    (outline,) = [block.content for block in blocks("python") if "made_once" in block.content]
    *lines, _body = (line for line in outline.splitlines() if line)
    code = (ROOT / "tasks/adjust/adjust.py").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line not in code] == []


def table_queries(page: str) -> list[str]:
    """The SQL of a page over published tables, as it is written."""
    return [block.content for block in blocks("sql") if block.page == page and "/tables/" in block.content]


def test_queries_over_tables_run_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From beside the store, on three rows of a date: two plants, one of them on two dates, one answer kept."""
    store, days = Store(tmp_path / "harvest-store"), (date(2021, 8, 23), date(2021, 9, 3))
    plants = {days[0]: ["2021_Ref_Plot2_E17", PLANT], days[1]: [PLANT]}
    own: dict[str, list[Any]] = {"decision": ["harvest", "check"], "check_reason": ["", "unsure"], "answer": [1, 1]}
    own |= {"answer_reliability": [0.75, 0.5], "ready_probability": [0.75, 0.5]}
    for day, spec in itertools.product(days, (DECIDED, RELIABILITIES)):
        named = {"plant_id": plants[day]} | (own if spec is DECIDED else {"novelty": [0.5, 0.5]})
        publish(store, spec, {name: values[: len(plants[day])] for name, values in named.items()}, day)
    monkeypatch.chdir(tmp_path)
    with duckdb.connect() as database:
        season, reasons, plant = (database.sql(query).fetchall() for query in table_queries("docs/python.md"))
    assert season == [(days[0], 2, 1, 1, 1.25, 0.75), (days[1], 1, 0, 1, 0.75, 0.75)]
    assert reasons == [(days[0], "unsure", 1, 0.5, 0.5)]
    assert plant == [(days[0], 0.5, 1, 0.5, "check", "unsure"), (days[1], 0.75, 1, 0.75, "harvest", "")]


def test_queries_about_promises_run_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each over rows in another order than it must return them, and with rows that it must leave out."""
    store, day = Store(tmp_path / "harvest-store"), date(2021, 8, 23)
    errors = {"tolerated_error": [0.2, 0.1, 0.1], "answers": ["all", "ready", "all"], "threshold": [0.75, 0.5, None]}
    publish(store, PROMISES, {"score": ["answer_reliability"] * 3, **errors})
    publish(store, READY_COUNTS, {"plot": ["2", None], "n_ready": [1.5, 4.5], "share_source": ["overall"] * 2}, day)
    answers: dict[str, list[Any]] = {"answers": ["ready", "not ready", "all", "ready", "ready"], "split": ["test"] * 5}
    groups = {"acquired": [day, day, day, None, day], "is_acted_on": [True] * 4 + [False]}
    publish(store, CALIBRATION, answers | groups)
    monkeypatch.chdir(tmp_path)
    with duckdb.connect() as database:
        curve, counts, calibration = (database.sql(q).fetchall() for q in table_queries("docs/reliability.md"))
    assert [row[1:3] for row in curve] == [(0.1, None), (0.2, 0.75)]
    assert [(row[0], row[1], row[3]) for row in counts] == [(day, None, 4.5), (day, "2", 1.5)]
    assert [row[:3] for row in calibration] == [("test", day, "not ready"), ("test", day, "ready")]


def test_the_query_about_found_answers_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, day = Store(tmp_path / "harvest-store"), date(2021, 8, 23)
    publish(store, FOUND, {"acquired": [day, day, None], "answers": ["ready", "all", "all"], "n": [2, 5, 9]})
    monkeypatch.chdir(tmp_path)
    (query,) = table_queries("docs/promised-and-found.md")
    with duckdb.connect() as database:
        rows = database.sql(query).fetchall()
    assert [row[:3] for row in rows] == [(None, "all", 9), (day, "all", 5), (day, "ready", 2)]


def publish(store: Store, spec: TableSpec, known: dict[str, list[Any]], day: date | None = None) -> None:
    """Publish rows of a table with these values, by Grad-CAM, and any values in the other columns."""
    n = len(next(iter(known.values())))
    rows = {column.name: [_some(column.type)] * n for column in spec.columns}
    recipe = Recipe(spec.name, 1, {"date": str(day)})
    with store.create(recipe) as draft:
        write_table(draft, spec, {**rows, "method": ["gradcam"] * n, **known})
    publish_table(store, spec, [recipe.ref], CAMPAIGN, day)


def _some(kind: pa.DataType) -> Any:
    if pa.types.is_string(kind):
        return "text"
    return 0.25 if pa.types.is_floating(kind) else False if pa.types.is_boolean(kind) else 0


def test_queries_over_exports_run_as_written(campaign: FakeCampaign, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = [block.content for block in blocks("sql") if "/exports/" in block.content]
    pages = ("docs/python.md", "docs/reliability.md", "docs/promised-and-found.md")
    n_over_tables = sum(len(table_queries(page)) for page in pages)
    assert len(queries) + n_over_tables == len(blocks("sql")) and queries
    monkeypatch.chdir(campaign.root.parent)
    with duckdb.connect() as database:
        rows = [row for query in queries for row in database.sql(query).fetchall()]
    assert {str(row[0]) for row in rows} == set(DAYS)
    assert sum(row[3] for row in rows) == sum(len(decided_rows(campaign, day)) for day in DAYS)
