"""Say in plain words what is wrong with a value of a TOML file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.cli.checks.keys import suggestion
from flows.cli.checks.lines import Place, line_of
from flows.running.names import CAMPAIGN_NAME, NAME_RULE

# What a value must be, by the type of pydantic's error; braces take the error's context.
MUST_BE = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "multiple_of": "a multiple of {multiple_of}",
    "literal_error": "{expected}",
    "finite_number": "a finite number",
    "string_type": "a text in quotes",
    "string_too_short": "a text of at least {min_length} characters",
    "string_too_long": "a text of at most {max_length} characters",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list in square brackets"),
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "a table"),
    **dict.fromkeys(
        ("date_type", "date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact"),
        "a date that exists, as YYYY-MM-DD",
    ),
}
PATTERNS = {
    CAMPAIGN_NAME: NAME_RULE,
    r"^EPSG:\d+$": "EPSG: and a number, for example EPSG:25832",
    r"^[^/\\]+$": "a file's name, without / or \\",
}


@dataclass(frozen=True)
class Problem:
    """A wrong key or value of a TOML file.

    Attributes
    ----------
    place : keys from the top of the file to the value.
    error : one of the errors of a `pydantic.ValidationError`.
    """

    place: Place
    error: Any

    def text(self, lines: Mapping[Place, int], known: Sequence[tuple[str, list[str]]]) -> str:
        """Say line, key and mistake.

        Parameters
        ----------
        lines : line of every key of the file.
        known : every table that a file may have, with its keys.
        """
        line, name = line_of(lines, self.place), ".".join(map(str, self.place))
        return (f"line {line}: " if line else "") + f"{name}: {self._said(known)}"

    def _said(self, known: Sequence[tuple[str, list[str]]]) -> str:
        kind = self.error["type"]
        if kind == "missing":
            return "missing"
        if kind == "no_effect":
            return self.error["msg"]
        if kind == "extra_forbidden":
            *above, key = self.place
            table = ".".join(part for part in above if isinstance(part, str))
            return f"unknown key{suggestion(str(key), table, known)}"
        return say_problem(self.error)


def place_in(content: Any, location: Sequence[str | int]) -> Place:
    """Return the keys of an error's value in a file, without the names of kinds that pydantic puts between them."""
    place: list[str | int] = []
    for i, part in enumerate(location):
        is_last = i == len(location) - 1
        if isinstance(content, Mapping) and (part in content or is_last):
            content = content.get(part)
            place.append(part)
        elif isinstance(content, list | tuple) and isinstance(part, int):
            content = content[part] if part < len(content) else None
            place.append(part)
    return tuple(place)


def say_problem(error: Any) -> str:
    """Say what is wrong with a value: what it must be, and what was found.

    Parameters
    ----------
    error : one of the errors of a `pydantic.ValidationError`, neither of a missing nor of an unknown key.
    """
    kind, context = error["type"], error.get("ctx", {})
    if kind == "union_tag_not_found":
        return f"its key {_bare(context['discriminator'])} is missing, which says where the images come from"
    if kind == "union_tag_invalid":
        return f"{_bare(context['discriminator'])} must be one of {context['expected_tags']}, got {context['tag']!r}"
    if kind == "value_error":
        return f"{error['msg'].removeprefix('Value error, ')}, got {shown(error['input'])}"
    if kind == "string_pattern_mismatch":
        must = PATTERNS.get(context["pattern"], f"a text of the pattern {context['pattern']}")
    else:
        said = MUST_BE.get(kind)
        must = (
            said.format(**{name: _number(value) for name, value in context.items()})
            if said
            else error["msg"].removeprefix("Input should be ")
        )
    return f"must be {must}, got {shown(error['input'])}"


def _bare(name: str) -> str:
    return name.strip("'")


def _number(value: Any) -> Any:
    return f"{value:g}" if isinstance(value, float) else value


def shown(value: Any) -> str:
    """Write a value as a TOML file does, where that differs from Python."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)
