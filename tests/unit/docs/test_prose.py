"""Mechanical rules of prose: how docstrings begin, and that every key a user can set has a meaning."""

import ast
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from typer.main import get_command

from flows.cli.main import app
from flows.parameters import BackfillParams, CampaignParams
from tasks.parameters import Runtime
from tests.support.repository import ROOT

PACKAGES = ("deployments", "docs", "flows", "storage", "tasks", "tests")
BEGINNINGS = ("The same", "As ", "Of ", "And ")
LEAST_WORDS = 3  # of a key's or an option's meaning
FRAGMENTS = ("of ", "by ", "and ")  # beginnings of meanings that continue a sentence which is not there
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def docstrings(source: str) -> Iterator[tuple[str, str]]:
    """Name and docstring of a module and of everything in it that has one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
            yield getattr(node, "name", "module"), text


def offences(source: str) -> list[str]:
    """Docstrings that cannot be understood without their neighbours, by their first words."""
    return [f"{name}: {text.splitlines()[0]}" for name, text in docstrings(source) if text.startswith(BEGINNINGS)]


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings_stand_alone(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}, {offence}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for offence in offences(path.read_text(encoding="utf-8"))
    ]
    assert not found, "begin with a verb:\n" + "\n".join(found)


def test_docstrings_that_do_not_stand_alone_are_found() -> None:
    source = '"""As a module."""\ndef one():\n    """The same."""\nclass Two:\n    """Ask the same."""\n'
    assert offences(source) == ["module: As a module.", "one: The same."]


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Models that a field's annotation names, also in unions and tuples."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]


def meanings(model: type[BaseModel], table: str = "") -> Iterator[tuple[str, str]]:
    """Dotted key and meaning of everything that a user can set; a table inside needs none, its keys do."""
    for name, field in model.model_fields.items():
        inner = models_in(field.annotation)
        for one in inner:
            yield from meanings(one, f"{table}{name}.")
        if not inner and name != "kind":
            yield f"{table}{name}", field.description or ""


def is_fragment(meaning: str) -> bool:
    """Whether a meaning cannot stand alone: too short, or the end of a sentence whose beginning is elsewhere."""
    return len(meaning.split()) < LEAST_WORDS or meaning.lower().startswith(FRAGMENTS)


@pytest.mark.parametrize("model", [CampaignParams, BackfillParams, Runtime])
def test_every_key_has_a_meaning(model: type[BaseModel]) -> None:
    found = sorted({f"{key}: {text!r}" for key, text in meanings(model) if is_fragment(text)})
    assert not found, "say what the key does, with unit and effect:\n" + "\n".join(found)


def test_every_argument_and_option_has_a_meaning() -> None:
    commands: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    found = [
        f"harvest {name} {parameter.opts[0]}: {parameter.help!r}"
        for name, command in commands.items()
        for parameter in command.params
        if is_fragment(parameter.help or "")
    ]
    assert not found, "say what it does, with unit and effect:\n" + "\n".join(found)


def test_keys_of_every_source_and_of_tables_inside_are_looked_at() -> None:
    names = {key for key, _ in meanings(CampaignParams)}
    assert {"source.root", "source.season.seed", "source.harvest_table.words.true_words", "explain.lime.seed"} <= names
    assert "source.kind" not in names and "explain.lime" not in names
