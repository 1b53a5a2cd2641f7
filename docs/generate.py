"""Write the reference pages from the code: `make docs`, or `python -m docs.generate`.

A unit test compares the pages with what this module makes, so a change of a parameter, table or command that leaves
them behind is found.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docs.command_pages import commands_page
from docs.heads import head
from docs.table_pages import decisions_page, tables_page
from flows.parameters import BackfillParams, CampaignParams
from tasks.parameters import Runtime

FOLDER = Path(__file__).parent / "reference"

FROM_FILE = {"campaign": "the file's name", "name": "the file's name"}  # defaults that a file gives, not a model


@dataclass(frozen=True)
class Key:
    """One key of a TOML file.

    Attributes
    ----------
    name : dotted name, without the table that the page's heading names.
    values : which values are allowed.
    default : in TOML; `required` where the key must be given.
    meaning : the field's description.
    """

    name: str
    values: str
    default: str
    meaning: str


def main() -> None:
    """Write every page anew."""
    for name, page in PAGES.items():
        (FOLDER / f"{name}.md").write_text(page(), encoding="utf-8")


def parameters_page() -> str:
    """Tell every key of a campaign file, table by table."""
    schema = CampaignParams.model_json_schema()
    models: dict[str, Any] = schema["$defs"]
    alone = [key for key in keys("", schema, models) if key.name in ("campaign", "dates")]
    parts = [
        head("Keys of a campaign file", "What a campaign file is: [campaigns.md](../campaigns.md)."),
        _keys_table("Keys outside every table", "`campaign` and `dates` stand before the first table.", alone),
    ]
    for choice in schema["properties"]["source"]["oneOf"]:
        model = models[_last(choice["$ref"])]
        kind = model["properties"]["kind"]["const"]
        lead = f"What it reads: [sources.md](../sources.md#{kind})."
        parts.append(_keys_table(f'`[source]` with `kind = "{kind}"`', lead, keys("source", model, models)))
    for name, field in schema["properties"].items():
        model = _model_of(field, models)
        if model is not None:
            lead = "Optional: without it the campaign trains a classifier." if name == "classifier" else ""
            parts.append(_keys_table(f"`[{name}]`", lead, keys(name, model, models)))
    lead = "Where and how fast to compute. Of these keys only `saliency_precision` changes results."
    parts.append(_keys_table("`[runtime]`", lead, keys("runtime", Runtime.model_json_schema(), {})))
    return "\n".join(parts)


def seasons_page() -> str:
    """Tell every key of a backfill's file."""
    schema = BackfillParams.model_json_schema()
    models: dict[str, Any] = schema["$defs"]
    own = [key for key in keys("", schema, models) if key.name != "seasons"]
    also = (
        "`[seasons.source]` takes the keys of `[source]`, and `[runtime]` is the same: [parameters.md](parameters.md)."
    )
    return "\n".join(
        [
            head("Keys of a seasons file", f"What a backfill is: [new-dates.md](../new-dates.md). {also}"),
            _keys_table("Keys of the backfill", "", own),
            _keys_table("`[[seasons]]`", "One table for each season.", keys("seasons", models["Season"], models)),
        ]
    )


def keys(table: str, schema: dict[str, Any], models: dict[str, Any], given: dict[str, Any] | None = None) -> list[Key]:
    """List a model's keys in order, those of models inside it in their place.

    Parameters
    ----------
    table : name of the table that the keys stand in; empty outside every table.
    given : values that an outer model's default gives to the fields.
    """
    return list(_keys(table, schema, models, given or {}))


def _keys(table: str, schema: dict[str, Any], models: dict[str, Any], given: dict[str, Any]) -> Iterator[Key]:
    for name, field in schema["properties"].items():
        dotted = f"{table}.{name}".lstrip(".")
        default, inner = given.get(name, field.get("default")), _model_of(field, models)
        is_optional = "anyOf" in field
        if name == "kind":
            continue
        if inner is None or is_optional:
            is_required = name in schema.get("required", ()) and name not in given
            shown = FROM_FILE.get(dotted, "required") if is_required else f"`{_toml(default)}`"
            yield Key(dotted, "table" if inner else _values(field), shown, field.get("description", ""))
        if inner is not None:
            yield from _keys(dotted, inner, models, default or {})


def _model_of(field: dict[str, Any], models: dict[str, Any]) -> dict[str, Any] | None:
    """Find the model that a field holds, also where it may be absent; None for plain values and unions."""
    choices = [choice for choice in field.get("anyOf", [field]) if "$ref" in choice]
    found = models.get(_last(choices[0]["$ref"])) if len(choices) == 1 else None
    return found if found and "properties" in found else None


def _last(reference: str) -> str:
    return reference.rpartition("/")[2]


def _values(field: dict[str, Any]) -> str:
    """Say which values a field takes, e.g. `integer, at least 1, at most 64`."""
    choices = [_values(choice) for choice in field.get("anyOf", ()) if choice.get("type") != "null"]
    if choices or "discriminator" in field or "$ref" in field:
        return " or ".join(choices) or "table"
    if "enum" in field:
        return "one of " + ", ".join(f"`{choice}`" for choice in field["enum"])
    if field.get("type") == "array":
        return _list_values(field)
    kind: str = field["type"]
    word = {"boolean": "`true` or `false`", "date": "date", "object": "table"}.get(field.get("format", kind), kind)
    limits = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "under"}
    return ", ".join([word, *(f"{said} {field[key]}" for key, said in limits.items() if key in field)])


def _list_values(field: dict[str, Any]) -> str:
    if "prefixItems" in field:
        return f"list of {len(field['prefixItems'])} {field['prefixItems'][0]['type']}s"
    items = field.get("items", {})
    return "list of " + ("any of" + _values(items).removeprefix("one of") if "enum" in items else f"{_values(items)}s")


def _toml(value: Any) -> str:
    if value is None:
        return "none"
    text = str(list(value) if isinstance(value, tuple) else value)
    for here, there in (("'", '"'), ("True", "true"), ("False", "false")):
        text = text.replace(here, there)
    return text


def _keys_table(title: str, lead: str, found: list[Key]) -> str:
    rows = [f"| `{key.name}` | {key.values} | {key.default} | {key.meaning} |" for key in found]
    head = ["| key | values | default | meaning |", "|---|---|---|---|"]
    return "\n".join([f"## {title}", "", *([lead, ""] if lead else []), *head, *rows, ""])


PAGES: dict[str, Callable[[], str]] = {
    "parameters": parameters_page,
    "tables": tables_page,
    "decisions": decisions_page,
    "seasons": seasons_page,
    "commands": commands_page,
}

if __name__ == "__main__":
    main()
