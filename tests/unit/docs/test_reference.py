"""The reference pages are what the code says, and every key, table, command and deployment is in them."""

import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
import yaml
from pydantic import BaseModel, Field

from docs.generate import FOLDER, PAGES, keys
from flows.cli.run_file import load_run_file
from flows.cli.seasons_file import load_seasons_file
from flows.parameters import BackfillParams, CampaignParams, Season
from storage.published.decisions import DECISIONS
from storage.published.plots import PLOTS
from storage.published.walks import WALK
from storage.tables import TABLES
from tasks.explain.methods import Method
from tasks.parameters import Runtime
from tasks.sources.synthetic.params import SeasonParams
from tests.support.markdown import text_of
from tests.support.repository import ROOT

ROW = re.compile(r"^\| `([\w.]+)` \|", re.MULTILINE)


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_what_the_code_says(name: str) -> None:
    assert (FOLDER / f"{name}.md").read_text(encoding="utf-8") == PAGES[name](), "run: make docs"


def test_no_other_page_lies_there() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} == set(PAGES)


class Inner(BaseModel):
    """A model in a model."""

    side: int = Field(default=11, ge=1, lt=20, description="pixels")
    name: str | None = None
    kinds: tuple[Literal["a", "b"], ...] = ("a",)


class Outer(BaseModel):
    """What gives its inner models other defaults than their own."""

    plain: bool = True
    odd: bool = False
    own: Inner = Inner()
    other: Inner = Inner(side=5)
    needed: Inner
    absent: Inner | None = Field(default=None, description="not there unless given")


def test_fields_of_a_model_in_a_model_are_listed_under_their_dotted_names() -> None:
    schema = Outer.model_json_schema()
    found = {key.name: key for key in keys("outer", schema, schema["$defs"])}
    inner = [f"outer.{name}.{field}" for name in ("own", "other", "needed") for field in ("side", "name", "kinds")]
    absent = ["outer.absent", *(f"outer.absent.{field}" for field in ("side", "name", "kinds"))]
    assert list(found) == ["outer.plain", "outer.odd", *inner, *absent]
    assert (found["outer.plain"].default, found["outer.odd"].default) == ("`true`", "`false`")
    assert [found[f"outer.{name}.side"].default for name in ("own", "other", "needed")] == ["`11`", "`5`", "`11`"]
    side, kinds = found["outer.own.side"], found["outer.own.kinds"]
    assert (side.values, side.meaning) == ("integer, at least 1, under 20", "pixels")
    assert (kinds.values, kinds.default) == ("list of any of `a`, `b`", '`["a"]`')
    assert (found["outer.own.name"].values, found["outer.own.name"].default) == ("string", "`none`")
    assert (found["outer.absent"].values, found["outer.absent"].default) == ("table", "`none`")


def leaves(fields: dict[str, Any]) -> Iterator[str]:
    """Dotted names of what is no dictionary."""
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from (f"{name}.{key}" for key in leaves(value))
        else:
            yield name


def test_every_key_of_a_campaign_file_is_listed() -> None:
    listed = set(ROW.findall(text_of("docs/reference/parameters.md")))
    wanted = {"campaign", "dates", *(f"runtime.{key}" for key in leaves(Runtime().model_dump()))}
    for name, field in CampaignParams.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            wanted |= {f"{name}.{key}" for key in leaves(model().model_dump(mode="json"))}
    wanted |= {f"source.season.{key}" for key in SeasonParams.model_fields}
    wanted |= {"source.root", "source.harvest_table.flag_column", "source.words.true_words", "classifier.path"}
    assert wanted <= listed


def test_every_key_of_a_seasons_file_is_listed() -> None:
    listed = set(ROW.findall(text_of("docs/reference/seasons.md")))
    own = set(BackfillParams.model_fields) - {"arrival", "seasons"}
    assert own | {f"seasons.{key}" for key in Season.model_fields} | {"arrival.marker"} <= listed


def test_names_that_the_file_gives(tmp_path: Path) -> None:
    """`campaign` and `name` need not be in a file, as the pages say."""
    campaign, seasons = tmp_path / "field2.toml", tmp_path / "many.toml"
    campaign.write_text('dates = ["2021-08-23"]\n[source]\nkind = "synthetic"\n')
    seasons.write_text('[[seasons]]\ncampaign = "field2"\n')
    assert load_run_file(campaign)[0].campaign == "field2"
    assert load_seasons_file(seasons)[0].name == "many"
    for page in ("parameters", "seasons"):
        assert "| the file's name |" in text_of(f"docs/reference/{page}.md")


def test_every_column_is_listed() -> None:
    page = text_of("docs/reference/tables.md")
    for spec in TABLES.values():
        section = page.partition(f"## `{spec.name}`\n")[2].partition("\n## ")[0]
        assert ROW.findall(section) == [column.name for column in spec.columns]
    listed = [column.name for spec in (DECISIONS, WALK, PLOTS) for column in spec.columns]
    filled_in = ["checked_ready", "checked_class", "checked_by", "checked_at", "remark"]
    assert ROW.findall(text_of("docs/reference/decisions.md")) == [*listed, *filled_in]


def test_the_table_of_deployments_is_that_of_prefect_yaml() -> None:
    content = (ROOT / "deployments/prefect.yaml").read_text(encoding="utf-8")
    made: list[dict[str, Any]] = yaml.safe_load(content)["deployments"]
    slot = {"fit-and-explain": "a slot of the limit `gpu`"}
    limits = {one["name"]: str(one.get("concurrency_limit", {}).get("limit", "")) for one in made}
    wanted = [(one["name"], one["work_pool"]["name"], slot.get(one["name"], limits[one["name"]])) for one in made]
    rows = re.findall(r"^\| `([a-z-]+)` \| (cpu|gpu) \| (.*?) ?\|", text_of("docs/service.md"), re.MULTILINE)
    assert rows == wanted


def test_every_saliency_method_has_a_row() -> None:
    assert re.findall(r"^\| `(\w+)`", text_of("docs/saliency.md"), re.MULTILINE) == list(get_args(Method))


def test_the_documentation_is_not_installed() -> None:
    setup: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    included: list[str] = setup["packages"]["find"]["include"]
    assert included and not [name for name in ("docs", "tests") for p in included if fnmatch(name, p)]
