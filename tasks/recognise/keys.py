"""Hold the keys of a campaign file that were recognised, each with the reason for its value."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["fiftyone", "growliflower", "field", "folder"]
KINDS: tuple[Kind, ...] = ("fiftyone", "growliflower", "field", "folder")  # in the order in which they are preferred

Value = str | int | float | bool | list[str] | list[int] | list[float]
"""Value of a key, as TOML writes it."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a campaign file.

    Attributes
    ----------
    table : dotted name of the key's table; empty for the top of the file.
    why : sentence that says where the value is from, or that asks what could not be decided.
    is_question : whether a person must look at the value, because it is only a proposal.
    is_open : whether the key is left out; its value is then an example in a comment.
    others : values that were not taken, each with a sentence on it.
    """

    table: str
    name: str
    value: Value
    why: str
    is_question: bool = False
    is_open: bool = False
    others: tuple[tuple[Value, str], ...] = ()

    @property
    def place(self) -> str:
        """Return the dotted name of the key."""
        return f"{self.table}.{self.name}" if self.table else self.name


@dataclass(frozen=True, slots=True)
class Recognised:
    """A source that was recognised in a folder.

    Attributes
    ----------
    keys : keys of the campaign file, in the order in which they are written.
    said : what was recognised, one line for each thing.
    used : paths of the files that the source reads, relative to the folder, and names of the tables in them.
    reasons : why a file is not used, by path.
    n_crops : number of crops of orthophotos; 0 for images that are files.
    """

    kind: Kind
    keys: tuple[Key, ...]
    said: tuple[str, ...]
    used: frozenset[str]
    reasons: dict[str, str]
    n_crops: int = 0


@dataclass(frozen=True, slots=True)
class NotThere:
    """Reason why a kind of source was not recognised; empty `found` if nothing speaks for the kind.

    Attributes
    ----------
    found : what speaks for the kind, and what is missing.
    remedy : what a person can do to make it the source.
    """

    found: str = ""
    remedy: str = ""


def date_format_keys(table: str, formats: Sequence[str | None], why: str) -> list[Key]:
    """Return the key of the form of dates: a question if several fit, and none if dates are ISO or there are none.

    Parameters
    ----------
    formats : forms that fit, the first of which is taken; None is ISO.
    why : sentence for one form that alone fits.
    """
    if not formats or formats[0] is None:
        return []
    is_open = len(formats) > 1
    also = tuple((one or "", "fits too") for one in formats[1:])
    asked = "Does the day or the month come first? All cells fit both." if is_open else why
    return [Key(table, "date_format", formats[0], asked, is_question=is_open, others=also)]


def content_of(keys: Sequence[Key]) -> dict[str, Any]:
    """Return the keys that are not open as nested tables, as `tomllib` would read them."""
    content: dict[str, Any] = {}
    for key in keys:
        if not key.is_open:
            table = content
            for part in key.table.split(".") if key.table else []:
                table = table.setdefault(part, {})
            table[key.name] = key.value
    return content
