"""Write recognised keys as a commented TOML file."""

import json
import textwrap
from collections.abc import Sequence

from tasks.recognise.keys import Key, Value

WIDTH = 110  # characters of a line of comment
QUESTION = "# ? "
"""Beginning of a line that asks what could not be decided."""

GOES_ON = "#   "
"""Beginning of the lines on which a question goes on."""


def write_campaign(head: Sequence[str], keys: Sequence[Key]) -> str:
    """Return the text of a campaign file.

    Every key has a comment above it. Questions begin with `QUESTION`. Keys that are left out, and values that were not
    taken, are comments.

    Parameters
    ----------
    head : sentences at the top of the file.
    """
    lines = [line for sentence in head for line in comment(sentence)]
    for table in dict.fromkeys(key.table for key in keys):
        of_table = [key for key in keys if key.table == table]
        heading = f"[{table}]" if table else ""
        if heading and all(key.is_open for key in of_table):
            question, *others = of_table
            lines += ["", *comment(question.why, QUESTION), f"# {heading}", assignment(question)]
            lines += [line for key in others for line in (*comment(key.why), assignment(key))]
        else:
            lines += ["", *([heading] if heading else [])]
            lines += [line for key in of_table for line in described(key)]
    return "\n".join(lines) + "\n"


def find_questions(text: str) -> list[tuple[int, str]]:
    """Return the questions in the text of a campaign file, each with the number of its first line, from 1."""
    found: list[tuple[int, str]] = []
    is_asking = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(QUESTION):
            found.append((number, line.removeprefix(QUESTION)))
        elif is_asking and line.startswith(GOES_ON):
            found[-1] = found[-1][0], f"{found[-1][1]} {line.removeprefix(GOES_ON)}"
        is_asking = line.startswith(QUESTION) or (is_asking and line.startswith(GOES_ON))
    return found


def described(key: Key) -> list[str]:
    """Return the lines of a key: its comment, its value, and values that were not taken."""
    lines = [*comment(key.why, QUESTION if key.is_question or key.is_open else "# "), assignment(key)]
    for value, why in key.others:
        lines += [f"# {key.name} = {toml_value(value)}", *comment(why, "#     ")]
    return lines


def assignment(key: Key) -> str:
    """Return the line that gives a key its value, in a comment if the key is left out."""
    return f"{'# ' if key.is_open else ''}{key.name} = {toml_value(key.value)}"


def comment(text: str, begin: str = "# ") -> list[str]:
    """Return the lines of a comment; the lines after the first are indented below a question's mark."""
    after = "#" + " " * (len(begin) - 1)
    return textwrap.wrap(
        printable(text),
        WIDTH,
        initial_indent=begin,
        subsequent_indent=after,
        break_long_words=False,
        break_on_hyphens=False,
    )


def toml_value(value: Value) -> str:
    """Return a value as TOML writes it; texts are in double quotes with escapes."""
    if isinstance(value, list):
        return f"[{', '.join(toml_value(one) for one in value)}]"
    if isinstance(value, str):
        # JSON's escapes are TOML's too, and TOML asks for one more.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


def printable(text: str) -> str:
    """Return a text for a comment, in which characters that would end or spoil the line are escaped."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
