"""The README's tables are the schemas and parameters; `python tests/unit/test_readme.py` writes them anew."""

import re
from pathlib import Path
from typing import Any

import pytest

from flows.parameters import CampaignParams
from storage.tables import TABLES
from tasks.parameters import Runtime

README = Path(__file__).parents[2] / "README.md"
STAGES = ("ingest", "augment", "train", "classifier", "explain", "cluster", "score", "adjust")


def tables_text() -> str:
    """Every published table with its columns."""
    parts: list[str] = []
    for spec in TABLES.values():
        place = "a date" if spec.per_date else "a campaign"
        parts += [f"**`{spec.name}`** (one file {place}, version {spec.version}): {spec.meaning}", ""]
        parts += ["| column | type | unit | meaning |", "|---|---|---|---|"]
        for column in spec.columns:
            kind = str(column.type).replace("list<element: ", "list<") + (" or null" if column.nullable else "")
            parts.append(f"| `{column.name}` | {kind} | {column.unit} | {column.meaning} |")
        parts.append("")
    return "\n".join(parts)


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
        "adjust": "AdjustParams",
    }
    sources = {
        "source (growliflower)": "GrowliFlowerSource",
        "source (fiftyone)": "FiftyOneSource",
        "source (folder)": "FolderSource",
        "source.harvest_table": "HarvestTable",
        "source.words": "FlagWords",
    }
    schemas = {name: defs[model] for name, model in sources.items()}
    schemas |= {stage: defs[models[stage]] for stage in STAGES} | {"runtime": Runtime.model_json_schema()}
    for stage, schema in schemas.items():
        for name, field in schema["properties"].items():
            if name == "kind":
                continue
            default = "required" if name in schema.get("required", ()) else f"`{_toml(field.get('default'))}`"
            table, _, layout = stage.partition(" ")
            lines.append(f"| `{table}.{name}` {layout}| {default} | {_meaning(field)} |")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if value is None:
        return "none"
    return str(list(value) if isinstance(value, tuple) else value).replace("'", '"').replace("True", "true")


def _meaning(field: dict[str, Any]) -> str:
    choices = ", ".join(field.get("enum", ()))
    return "; ".join(text for text in (field.get("description", ""), choices and f"one of {choices}") if text)


SECTIONS = {"tables": tables_text, "parameters": parameters_text}


def section(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name}: [^>]*-->\n)(.*?)(<!-- end of {name} -->)", re.DOTALL)


@pytest.mark.parametrize("name", SECTIONS)
def test_readme_shows_what_the_code_says(name: str) -> None:
    match = section(name).search(README.read_text(encoding="utf-8"))
    assert match is not None, f"README.md has no section {name}"
    assert match[2].strip() == SECTIONS[name]().strip(), "run: python tests/unit/test_readme.py"


def test_commands_of_the_readme_exist() -> None:
    from typer.main import get_command

    from flows.cli import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    named = set(re.findall(r"^harvest (\w+)", README.read_text(encoding="utf-8"), re.MULTILINE))
    assert named and named <= known


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    for name, make in SECTIONS.items():
        match = section(name).search(text)
        assert match is not None, name
        text = f"{text[: match.start(2)]}{make()}{text[match.end(2) :]}"
    README.write_text(text, encoding="utf-8")
