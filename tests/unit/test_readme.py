"""The README's tables are the schemas and parameters; `python tests/unit/test_readme.py` writes them anew."""

import itertools
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa
import pytest
import yaml
from pydantic import BaseModel, Field

from flows.parameters import BackfillParams, CampaignParams
from storage.artifacts import Recipe, Store
from storage.published.decisions import DECISIONS
from storage.published.publish import publish_table
from storage.tables import ADJUSTED, RELIABILITIES, TABLES
from storage.tables.parquet import TableSpec, write_table
from tasks.parameters import Runtime
from tests.support.repository import ROOT

README = ROOT / "README.md"
DEPLOYMENTS = README.with_name("deployments") / "prefect.yaml"
STAGES = (
    "ingest",
    "augment",
    "train",
    "classifier",
    "explain",
    "cluster",
    "score",
    "review",
    "adjust",
    "drift",
    "export",
)


def tables_text() -> str:
    """Every published table with its columns."""
    parts: list[str] = []
    for spec in TABLES.values():
        place = "a date" if spec.per_date else f"a {spec.partitioned_by}"
        parts += [f"**`{spec.name}`** (one file {place}, version {spec.version}): {spec.meaning}", ""]
        parts += [*column_lines(spec), ""]
    return "\n".join(parts)


def column_lines(spec: TableSpec) -> list[str]:
    """A table's columns."""
    lines = ["| column | type | unit | meaning |", "|---|---|---|---|"]
    for column in spec.columns:
        kind = str(column.type).replace("list<element: ", "list<") + (" or null" if column.nullable else "")
        lines.append(f"| `{column.name}` | {kind} | {column.unit} | {column.meaning} |")
    return lines


def decisions_text() -> str:
    """Every column of the files for other tools."""
    return "\n".join(column_lines(DECISIONS)) + "\n"


def parameters_text() -> str:
    """Every key of a campaign's TOML file with its default."""
    lines = ["| key | default | meaning |", "|---|---|---|"]
    defs: dict[str, Any] = CampaignParams.model_json_schema()["$defs"]
    models = {
        "ingest": "IngestParams",
        "augment": "AugmentParams",
        "train": "TrainParams",
        "classifier": "GivenClassifier",
        "explain": "ExplainParams",
        "cluster": "ClusterParams",
        "score": "ScoreParams",
        "review": "ReviewParams",
        "adjust": "AdjustParams",
        "drift": "DriftParams",
        "export": "ExportParams",
    }
    sources = {
        "source (growliflower)": "GrowliFlowerSource",
        "source (fiftyone)": "FiftyOneSource",
        "source (folder)": "FolderSource",
        "source.harvest_table": "HarvestTable",
    }
    schemas = {name: defs[model] for name, model in sources.items()}
    schemas |= {stage: defs[models[stage]] for stage in STAGES} | {"runtime": Runtime.model_json_schema()}
    for stage, schema in schemas.items():
        table, _, layout = stage.partition(" ")
        lines += [f"| `{key}` {layout}| {default} | {said} |" for key, default, said in key_rows(table, schema, defs)]
    return "\n".join(lines) + "\n"


def seasons_text() -> str:
    """Every key of a backfill's TOML file with its default."""
    schema = BackfillParams.model_json_schema()
    defs: dict[str, Any] = schema["$defs"]
    own = {"properties": {name: field for name, field in schema["properties"].items() if name != "seasons"}}
    rows = [*key_rows("", {**schema, **own}, defs), *key_rows("seasons", defs["Season"], defs)]
    lines = [f"| `{key.removeprefix('.')}` | {default} | {said} |" for key, default, said in rows]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *lines]) + "\n"


def key_rows(
    table: str, schema: dict[str, Any], defs: dict[str, Any], given: dict[str, Any] | None = None
) -> Iterator[tuple[str, str, str]]:
    """Dotted key, default and meaning of a model's fields, those of models in it in their place.

    `given` are the values that an outer model's default gives to the fields.
    """
    for name, field in schema["properties"].items():
        if name == "kind":
            continue
        default = (given or {}).get(name, field.get("default"))
        inner = defs.get(field.get("$ref", "").rpartition("/")[2], {})
        if "properties" in inner:
            yield from key_rows(f"{table}.{name}", inner, defs, default)
        else:
            is_required = name in schema.get("required", ()) and name not in (given or {})
            yield f"{table}.{name}", "required" if is_required else f"`{_toml(default)}`", _meaning(field)


def _toml(value: Any) -> str:
    if value is None:
        return "none"
    text = str(list(value) if isinstance(value, tuple) else value)
    for here, there in (("'", '"'), ("True", "true"), ("False", "false")):
        text = text.replace(here, there)
    return text


def _meaning(field: dict[str, Any]) -> str:
    one, some = (", ".join(choices.get("enum", ())) for choices in (field, field.get("items", {})))
    parts = (field.get("description", ""), one and f"one of {one}", some and f"any of {some}")
    return "; ".join(text for text in parts if text)


SECTIONS = {"tables": tables_text, "decisions": decisions_text, "parameters": parameters_text, "seasons": seasons_text}


def section(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name}: [^>]*-->\n)(.*?)(<!-- end of {name} -->)", re.DOTALL)


@pytest.mark.parametrize("name", SECTIONS)
def test_readme_shows_what_the_code_says(name: str) -> None:
    match = section(name).search(README.read_text(encoding="utf-8"))
    assert match is not None, f"README.md has no section {name}"
    assert match[2].strip() == SECTIONS[name]().strip(), "run: python tests/unit/test_readme.py"


class Inner(BaseModel):
    """A model in a model."""

    side: int = Field(default=11, description="pixels")
    name: str | None = None
    kinds: tuple[Literal["a", "b"], ...] = ("a",)


class Outer(BaseModel):
    """What gives its inner models other defaults than their own."""

    plain: bool = True
    odd: bool = False
    own: Inner = Inner()
    other: Inner = Inner(side=5)
    needed: Inner


def test_fields_of_a_model_in_a_model_are_listed_under_their_dotted_names() -> None:
    schema = Outer.model_json_schema()
    rows = {key: (default, said) for key, default, said in key_rows("outer", schema, schema["$defs"])}
    inner = [f"outer.{name}.{field}" for name in ("own", "other", "needed") for field in ("side", "name", "kinds")]
    assert list(rows) == ["outer.plain", "outer.odd", *inner]
    assert (rows["outer.plain"], rows["outer.odd"]) == (("`true`", ""), ("`false`", ""))
    assert [rows[f"outer.{name}.side"] for name in ("own", "other", "needed")] == [
        ("`11`", "pixels"),
        ("`5`", "pixels"),
        ("`11`", "pixels"),
    ]
    assert rows["outer.own.name"] == ("`none`", "")
    assert rows["outer.own.kinds"] == ('`["a"]`', "any of a, b")


def test_every_field_of_the_stages_has_a_key() -> None:
    listed = set(re.findall(r"^\| `([a-z_.]+)`", parameters_text(), re.MULTILINE))
    stages = CampaignParams.model_fields.keys() & set(STAGES) - {"classifier"}
    for stage in stages:
        model = CampaignParams.model_fields[stage].annotation
        assert isinstance(model, type) and issubclass(model, BaseModel)
        assert {f"{stage}.{key}" for key in leaves(model().model_dump(mode="json"))} <= listed


def leaves(fields: dict[str, Any]) -> Iterator[str]:
    """Dotted names of what is no dictionary."""
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from (f"{name}.{key}" for key in leaves(value))
        else:
            yield name


def test_the_table_of_deployments_is_that_of_prefect_yaml() -> None:
    made: list[dict[str, Any]] = yaml.safe_load(DEPLOYMENTS.read_text(encoding="utf-8"))["deployments"]
    slot = {"fit-and-explain": "a slot of the limit `gpu`"}
    limits = {one["name"]: str(one.get("concurrency_limit", {}).get("limit", "")) for one in made}
    wanted = [(one["name"], one["work_pool"]["name"], slot.get(one["name"], limits[one["name"]])) for one in made]
    rows = re.findall(r"^\| `([a-z-]+)` \| (cpu|gpu) \| (.*?) ?\|", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == wanted


def test_commands_of_the_readme_exist() -> None:
    from typer.main import get_command

    from flows.cli.main import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    named = set(re.findall(r"^harvest (\w+)", README.read_text(encoding="utf-8"), re.MULTILINE))
    assert named and named <= known


def readme_queries() -> list[str]:
    """The SQL of the README over tables, as it is written there."""
    blocks = re.findall(r"^```sql\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [block for block in blocks if "/tables/" in block]


def test_queries_of_the_readme_run_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From beside the store, on three rows of a date: two plants, one of them on two dates, one answer kept."""
    store, days = Store(tmp_path / "harvest-store"), (date(2021, 8, 23), date(2021, 9, 3))
    plants = {days[0]: ["2021_Ref_Plot2_E17", "2021_Ref_Plot2_E18"], days[1]: ["2021_Ref_Plot2_E18"]}
    for day, spec in itertools.product(days, (ADJUSTED, RELIABILITIES)):
        n = len(plants[day])
        rows = {column.name: [_some(column.type)] * n for column in spec.columns}
        rows |= {"plant_id": plants[day], "method": ["gradcam"] * n, "abstain": [False, True][:n]}
        rows |= {"reliability": [0.75] * n} | ({"adjusted": [1] * n} if spec is ADJUSTED else {"novelty": [0.5] * n})
        recipe = Recipe(spec.name, 1, {"date": str(day)})
        with store.create(recipe) as draft:
            write_table(draft, spec, rows)
        publish_table(store, spec, [recipe.ref], "field2-2021", day)
    monkeypatch.chdir(tmp_path)
    with duckdb.connect() as database:
        season, reasons, plant = (database.sql(query).fetchall() for query in readme_queries())
    assert season == [(days[0], 2, 1, 1, 0.75), (days[1], 1, 0, 1, 0.75)]
    assert reasons == [(days[0], "text", 1, 0.5, 0.25)]
    assert plant == [(days[0], 0, 1, 0.75, True), (days[1], 0, 1, 0.75, False)]


def _some(kind: pa.DataType) -> Any:
    if pa.types.is_string(kind):
        return "text"
    return 0.25 if pa.types.is_floating(kind) else False if pa.types.is_boolean(kind) else 0


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    for name, make in SECTIONS.items():
        match = section(name).search(text)
        assert match is not None, name
        text = f"{text[: match.start(2)]}{make()}{text[match.end(2) :]}"
    README.write_text(text, encoding="utf-8")
