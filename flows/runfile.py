"""The TOML file of `harvest run`: a campaign's parameters, and how to run them."""

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flows.parameters import CampaignParams
from storage.errors import InputError
from tasks.parameters import Runtime


def load_run_file(path: Path) -> tuple[CampaignParams, Runtime]:
    """Read a campaign's TOML file.

    The keys are those of `CampaignParams`, and a table `runtime`. `campaign` defaults to the file's name; `source.root`
    and `classifier.path` are relative to the file.

    Raises
    ------
    InputError : no such file, no TOML, unknown keys or values out of bounds, each named.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("harvest run takes a TOML file", f"no file {path}", "give the path of one") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise InputError("harvest run takes a TOML file", f"{path}: {error}", "mend the line it names") from None
    runtime = content.pop("runtime", {})
    content.setdefault("campaign", re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()))
    for table, key in (("source", "root"), ("classifier", "path")):
        _anchor(content, table, key, path.parent)
    try:
        return CampaignParams.model_validate(content), Runtime.model_validate(runtime)
    except ValidationError as error:
        table = ("runtime",) if error.title == Runtime.__name__ else ()
        raise InputError(
            f"The keys and values of {path.name} are those of a campaign",
            "\n    ".join(["", *(_describe(table, one) for one in error.errors())]),
            "mend them; the README lists every key",
        ) from None


def _anchor(content: dict[str, Any], table: str, key: str, folder: Path) -> None:
    """Make a relative path in the file relative to the file."""
    section = content.get(table)
    if isinstance(section, dict) and isinstance(section.get(key), str):
        section[key] = str((folder / Path(section[key]).expanduser()).resolve())


def _describe(table: tuple[str, ...], error: Any) -> str:
    name = ".".join(str(part) for part in (*table, *error["loc"]))
    if error["type"] == "missing":
        return f"{name}: missing"
    if error["type"] != "extra_forbidden":
        return f"{name}: {error['msg']}, got {error['input']!r}"
    key, known = str(error["loc"][-1]), _known_keys()
    if key in known:
        return f"{name}: unknown key here; it belongs to another table"
    near = difflib.get_close_matches(key, known, n=1)
    return f"{name}: unknown key" + (f"; did you mean {near[0]}?" if near else "")


def _known_keys() -> list[str]:
    """Every key of a campaign's and a runtime's tables."""
    schemas = [CampaignParams.model_json_schema(), Runtime.model_json_schema()]
    tables = [s for schema in schemas for s in (schema, *schema.get("$defs", {}).values())]
    return sorted({key for table in tables for key in table.get("properties", {})})
