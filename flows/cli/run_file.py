"""Read the TOML file of `harvest run`: a campaign's parameters and the runtime settings."""

import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from flows.cli.checks.keys import tables
from flows.cli.checks.lines import Place, key_lines
from flows.cli.checks.wording import Problem, place_in
from flows.parameters import CampaignParams
from storage.errors import InputError
from tasks.parameters import Runtime

P = TypeVar("P", bound=BaseModel)
M = TypeVar("M", bound=BaseModel)
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
    except IsADirectoryError:
        raise InputError(
            f"{path} is a folder", f"{command} takes a TOML file", "give the path of a TOML file"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not text in UTF-8: byte {error.start} is {error.object[error.start]:#04x}",
            f"{command} takes a TOML file",
            "give the path of a TOML file, or save it as UTF-8",
        ) from None
    except (ValueError, RecursionError) as error:  # also a number of too many digits, and too deep a nesting
        raise InputError(
            f"{path} cannot be read as TOML: {error}", f"{command} takes a TOML file", "correct the line that it names"
        ) from None


def name_of(path: Path) -> str:
    """Return the name in tables and paths that a TOML file's own name gives: lower case, other characters as `-`."""
    return re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower())


def anchor(content: dict[str, Any], table: str, key: str, folder: Path) -> None:
    """Resolve a relative path in a TOML file against the file's folder, in place.

    Raises
    ------
    InputError : no file can have this path.
    """
    section = content.get(table)
    if isinstance(section, dict) and isinstance(section.get(key), str):
        try:
            section[key] = str((folder / Path(section[key]).expanduser()).resolve())
        except (ValueError, RuntimeError, OSError) as error:  # NUL, a user who is not there, a circle of links
            raise InputError(
                f"{table}.{key} is {section[key][:80]!r}: {error}",
                f"{table}.{key} must be a path on this machine",
                "correct it",
            ) from None


def read_models(path: Path, thing: str, model: type[P], content: dict[str, Any], runtime: Any) -> tuple[P, Runtime]:
    """Make the model that a file's content describes, and its runtime settings.

    Parameters
    ----------
    thing : name of `model` for people, for example campaign.

    Raises
    ------
    InputError : the content has unknown keys or values out of bounds; all are named, with their lines.
    """
    problems: list[Problem] = []
    made = _made(model, content, (), problems)
    settings = _made(Runtime, runtime, ("runtime",), problems)
    if thing == "campaign":
        problems += _beside_classifier(content)
    if made is None or settings is None or problems:
        known = [*tables(model), *tables(Runtime, "runtime")]
        known[0][1].append("runtime")
        lines = key_lines(path.read_text(encoding="utf-8"))
        raise InputError(
            "\n    ".join([f"{path.name} has wrong keys or values:", *(one.text(lines, known) for one in problems)]),
            f"The keys and values of {path.name} must be those of a {thing}",
            f"correct them; every key is in docs/reference/{PAGES[thing]}.md",
        )
    return made, settings


def _made(model: type[M], content: Any, table: Place, problems: list[Problem]) -> M | None:
    """Make a model from a table's content; None, and its problems, where the content is wrong."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems += [Problem((*table, *place_in(content, one["loc"])), one) for one in _without_echoes(error)]
        return None


def _without_echoes(error: ValidationError) -> list[Any]:
    """Return every mistake, except `list too short` where the list's items are wrong and so do not count."""
    found: list[Any] = list(error.errors())
    wrong = {one["loc"][:i] for one in found for i in range(len(one["loc"]))}
    return [one for one in found if not (one["type"] == "too_short" and one["loc"] in wrong)]


def _beside_classifier(content: dict[str, Any]) -> list[Problem]:
    """Return the tables of training that stand beside a given classifier, where they have no effect."""
    said = "has no effect beside the table classifier, as nothing is trained; remove one of the two"
    given = [name for name in ("augment", "train") if name in content and "classifier" in content]
    return [Problem((name,), {"type": "no_effect", "msg": said}) for name in given]
