"""Read the TOML file of `harvest backfill`, which lists the seasons whose dates are scored."""

from pathlib import Path
from typing import Any

from flows.cli.run_file import anchor, name_of, read_models, read_toml
from flows.parameters import BackfillParams
from tasks.parameters import Runtime


def load_seasons_file(path: Path) -> tuple[BackfillParams, Runtime]:
    """Read the TOML file of a backfill.

    The keys are those of `BackfillParams`, with a table `[[seasons]]` for each season, and a table `runtime`. `name`
    defaults to the file's name. A season's `source.root` is relative to the file.

    Raises
    ------
    InputError : there is no such file, it is not TOML, or it has unknown keys or values out of bounds; all are named.
    """
    content = read_toml(path, "harvest backfill")
    runtime = content.pop("runtime", {})
    content.setdefault("name", name_of(path))
    for season in _tables(content.get("seasons")):
        anchor(season, "source", "root", path.parent)
    return read_models(path, "backfill", BackfillParams, content, runtime)


def _tables(value: Any) -> list[dict[str, Any]]:
    """Return the tables of a list. Anything else in it is refused by name when the model is made."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
