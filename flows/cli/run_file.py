"""The TOML file of `harvest run`: a campaign's parameters, and how to run them."""

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


def load_run_file(path: Path) -> tuple[CampaignParams, Runtime]:
    """Read a campaign's TOML file.

    The keys are those of `CampaignParams`, and a table `runtime`. `campaign` defaults to the file's name; `source.root`
    and `classifier.path` are relative to the file.

    Raises
    ------
    InputError : no such file, no TOML, unknown keys or values out of bounds, each named.
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
    InputError : no such file, or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no file {path}", f"{command} takes a TOML file", "give the path of one") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise InputError(f"{path}: {error}", f"{command} takes a TOML file", "mend the line it names") from None


def name_of(path: Path) -> str:
    """Name in tables and paths that a file stands for."""
    return re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower())


def anchor(content: dict[str, Any], table: str, key: str, folder: Path) -> None:
    """Make a relative path in the file relative to the file."""
    section = content.get(table)
    if isinstance(section, dict) and isinstance(section.get(key), str):
        section[key] = str((folder / Path(section[key]).expanduser()).resolve())


def read_models(path: Path, thing: str, model: type[P], content: dict[str, Any], runtime: Any) -> tuple[P, Runtime]:
    """Make of a file's content what it describes, and how to run it.

    Parameters
    ----------
    thing : what `model` is to people, e.g. campaign.

    Raises
    ------
    InputError : unknown keys or values out of bounds, each named.
    """
    try:
        return model.model_validate(content), Runtime.model_validate(runtime)
    except ValidationError as error:
        table = ("runtime",) if error.title == Runtime.__name__ else ()
        known = _known_keys(model, Runtime)
        raise InputError(
            "\n    ".join(["", *(_describe(table, one, known) for one in _without_echoes(error))]),
            f"The keys and values of {path.name} are those of a {thing}",
            "mend them; the README lists every key",
        ) from None


def _without_echoes(error: ValidationError) -> list[Any]:
    """Every mistake but that a list is too short, where it only seems so because its items are wrong."""
    found: list[Any] = list(error.errors())
    wrong = {one["loc"][:i] for one in found for i in range(len(one["loc"]))}
    return [one for one in found if not (one["type"] == "too_short" and one["loc"] in wrong)]


def _describe(table: tuple[str, ...], error: Any, known: list[str]) -> str:
    name = ".".join(str(part) for part in (*table, *error["loc"]))
    if error["type"] == "missing":
        return f"{name}: missing"
    if error["type"] != "extra_forbidden":
        return f"{name}: {error['msg']}, got {error['input']!r}"
    key = str(error["loc"][-1])
    if key in known:
        return f"{name}: unknown key here; it belongs to another table"
    near = difflib.get_close_matches(key, known, n=1)
    return f"{name}: unknown key" + (f"; did you mean {near[0]}?" if near else "")


def _known_keys(*models: type[BaseModel]) -> list[str]:
    """Every key of some models' tables."""
    schemas = [model.model_json_schema() for model in models]
    tables = [s for schema in schemas for s in (schema, *schema.get("$defs", {}).values())]
    return sorted({key for table in tables for key in table.get("properties", {})})
