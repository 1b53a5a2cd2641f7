"""Read the TOML file of `harvest run`: a campaign's parameters and the runtime settings."""

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from flows.parameters import CampaignParams
from storage.errors import InputError
from tasks.parameters import Runtime

P = TypeVar("P", bound=BaseModel)
# Page in docs/reference that lists every key, by what the file describes.
PAGES = {"campaign": "parameters", "backfill": "seasons"}


def load_run_file(path: Path) -> tuple[CampaignParams, Runtime]:
    """Read a campaign's TOML file.

    The keys are those of `CampaignParams`, and a table `runtime`. `campaign` defaults to the file's name. `source.root`
    and `classifier.path` are relative to the file.

    Raises
    ------
    InputError : there is no such file, it is not TOML, or it has unknown keys or values out of bounds; all are named.
    """
    content = read_toml(path, "harvest run")
    runtime = content.pop("runtime", {})
    content.setdefault("campaign", name_of(path))
    for table, key in (("source", "root"), ("classifier", "path")):
        anchor(content, table, key, path.parent)
    return read_models(path, "campaign", CampaignParams, content, runtime)


def read_toml(path: Path, command: str) -> dict[str, Any]:
    """Read a command's TOML file.

    Raises
    ------
    InputError : there is no such file, or it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"There is no file {path}", f"{command} takes a TOML file", "give the path of a TOML file"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise InputError(
            f"{path} cannot be read as TOML: {error}", f"{command} takes a TOML file", "correct the line that it names"
        ) from None


def name_of(path: Path) -> str:
    """Return the name in tables and paths that a TOML file's own name gives: lower case, other characters as `-`."""
    return re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower())


def anchor(content: dict[str, Any], table: str, key: str, folder: Path) -> None:
    """Resolve a relative path in a TOML file against the file's folder, in place."""
    section = content.get(table)
    if isinstance(section, dict) and isinstance(section.get(key), str):
        section[key] = str((folder / Path(section[key]).expanduser()).resolve())


def read_models(path: Path, thing: str, model: type[P], content: dict[str, Any], runtime: Any) -> tuple[P, Runtime]:
    """Make the model that a file's content describes, and its runtime settings.

    Parameters
    ----------
    thing : name of `model` for people, for example campaign.

    Raises
    ------
    InputError : the content has unknown keys or values out of bounds; all are named.
    """
    try:
        return model.model_validate(content), Runtime.model_validate(runtime)
    except ValidationError as error:
        table = ("runtime",) if error.title == Runtime.__name__ else ()
        known = _known_keys(model, Runtime)
        raise InputError(
            "\n    ".join(
                [
                    f"{path.name} has wrong keys or values:",
                    *(_describe(table, one, known) for one in _without_echoes(error)),
                ]
            ),
            f"The keys and values of {path.name} must be those of a {thing}",
            f"correct them; every key is in docs/reference/{PAGES[thing]}.md",
        ) from None


def _without_echoes(error: ValidationError) -> list[Any]:
    """Return every mistake, except `list too short` where the list's items are wrong and so do not count."""
    found: list[Any] = list(error.errors())
    wrong = {one["loc"][:i] for one in found for i in range(len(one["loc"]))}
    return [one for one in found if not (one["type"] == "too_short" and one["loc"] in wrong)]


def _describe(table: tuple[str, ...], error: Any, known: list[str]) -> str:
    name = ".".join(str(part) for part in (*table, *error["loc"]))
    if error["type"] == "missing":
        return f"{name}: missing"
    if error["type"] != "extra_forbidden":
        return f"{name}: {error['msg'].removeprefix('Value error, ')}, got {error['input']!r}"
    key = str(error["loc"][-1])
    if key in known:
        return f"{name}: unknown key here; it belongs to another table"
    near = difflib.get_close_matches(key, known, n=1)
    return f"{name}: unknown key" + (f"; did you mean {near[0]}?" if near else "")


def _known_keys(*models: type[BaseModel]) -> list[str]:
    """Return every key of the models and of the tables inside them."""
    schemas = [model.model_json_schema() for model in models]
    tables = [s for schema in schemas for s in (schema, *schema.get("$defs", {}).values())]
    return sorted({key for table in tables for key in table.get("properties", {})})
