"""Tell every command of `harvest` from the command line's own definition."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from typer.main import get_command

from docs.heads import head
from flows.cli.main import app

LEAD = """Every command has `--help` (`-h`). Without a command, `--version` prints the version, and
`--install-completion` sets up the shell's completion. A terminal shows a bar; elsewhere one line on standard error
tells of each stage that begins.

An error is one message on standard error. With `--json` it is one JSON document on standard output besides. The
traceback of an unexpected error is in `~/.local/state/harvest/errors.log` (or below `XDG_STATE_HOME`); `--debug` prints
it too.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | failed: damage was found, a date of a backfill failed, a flow run failed, or a file or server could not be read |
| 2 | wrong use or bad input: nothing was computed from it, and the message names the remedy |
| 130, 143 | stopped by Ctrl-C or SIGTERM: the same command continues |"""


def commands_page() -> str:
    """Tell help, usage, arguments and options of every command."""
    known: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    callbacks = dict(_callbacks(app))
    return "\n".join(
        [head("The command line", LEAD), *(_command(name, command, callbacks[name]) for name, command in known.items())]
    )


def _callbacks(one: typer.Typer) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Functions behind the commands, by name."""
    for command in one.registered_commands:
        if command.callback is not None:
            yield command.name or command.callback.__name__, command.callback
    for group in one.registered_groups:
        if group.typer_instance is not None:
            yield from _callbacks(group.typer_instance)


def _command(name: str, command: Any, callback: Callable[..., Any]) -> str:
    hints = get_type_hints(callback, include_extras=True)
    usage = " ".join(
        ["harvest", name, *(p.name.upper() for p in command.params if p.param_type_name == "argument"), "[OPTIONS]"]
    )
    lines = [f"## harvest {name}", "", command.help, "", f"Usage: `{usage}`", ""]
    for kind in ("argument", "option"):
        found = [p for p in command.params if p.param_type_name == kind]
        rows = [f"| {_names(p)} | {_values(hints[p.name])} | {_default(p)} | {_meaning(p)} |" for p in found]
        head = [f"| {kind} | values | default | meaning |", "|---|---|---|---|"]
        lines += [*head, *rows, ""] if rows else []
    return "\n".join(lines)


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    return ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    return "" if value is None or value is False or value == "" else f"`{'true' if value is True else value}`"


def _meaning(parameter: Any) -> str:
    variable = f"; environment variable `{parameter.envvar}`" if parameter.envvar else ""
    return (parameter.help or "") + variable


def _values(hint: Any) -> str:
    """Say which values a parameter takes, from its annotation."""
    marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    kinds = [kind for kind in get_args(marks[0]) if kind is not type(None)] if _is_union(marks[0]) else [marks[0]]
    kind, is_list = (get_args(kinds[0])[0], True) if get_origin(kinds[0]) is list else (kinds[0], False)
    if get_origin(kind) is Literal:
        word = "one of " + ", ".join(f"`{choice}`" for choice in get_args(kind))
    else:
        names = {
            int: "integer",
            float: "number",
            str: "string",
            Path: "path",
            datetime: "date, YYYY-MM-DD",
            bool: "flag",
        }
        word = names[kind]
    for least, most in [(mark.min, mark.max) for mark in marks[1:] if hasattr(mark, "min")]:
        word += ("" if least is None else f", at least {least:g}") + ("" if most is None else f", at most {most:g}")
    return word + "; can be repeated" * is_list


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, UnionType)
