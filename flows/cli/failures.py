"""Print every exception that can reach a user as one message, and keep its traceback in a log.

The module imports neither Prefect nor torch: an early error should take no longer than `--help`.
"""

import errno
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.cli.stopping import SAID, stopping_at_once
from flows.running.errors import RunFailedError
from storage.errors import ArtifactError, InputError
from storage.places.faults import WriteError

LOG_BYTES = 1_000_000  # size of the log above which it is begun anew
# Packages whose errors tell that the Prefect server is away, when they come out of a flow.
OF_CONNECTIONS = ("httpx", "httpcore", "websockets", "h11", "h2")
REMEDY = "run the same command again to go on; if it fails again, report it with the traceback (--debug prints it)"
# What a person can do about an error of the system, besides running the command again.
OF_SYSTEM = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), "give this user the right to read and write it"),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR), "look whether it was moved or removed, or its drive is gone"),
    **dict.fromkeys(
        (errno.EIO, errno.ESTALE, errno.ENODEV), "look at the disk, or the connection to the network share"
    ),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "allow more open files (ulimit -n 4096)"),
    errno.ENOMEM: "stop other programs, or use a machine with more memory",
}
OF_SERVER = ("Failed to reach API at", "No Prefect API URL provided", "Timed out while attempting to connect to")


def run_program(program: Callable[..., Any], arguments: list[str]) -> int:
    """Run the command line, print an error as one message, and return the exit code.

    With `--json` among the arguments, the error is one JSON document on standard output besides. With `--debug` the
    traceback is printed too.
    """
    as_json, is_debug = "--json" in arguments, "--debug" in arguments
    with stopping_at_once(as_json):
        try:
            code = program(args=arguments, prog_name="harvest", standalone_mode=False)
        except SystemExit:
            raise
        except KeyboardInterrupt:
            return _report("stopped", SAID, 130, as_json)
        except BrokenPipeError:  # the reader of a pipe has read enough, such as `head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except Exception as error:
            if is_debug:
                traceback.print_exc()
            return _report_error(error, as_json)
    return code if isinstance(code, int) else 0


def _report_error(error: Exception, as_json: bool) -> int:
    error = innermost(error)
    if hasattr(error, "format_message"):  # typer's and click's own, which know the command's usage
        usage: Any = error
        text = usage.format_message()
        usage.show()
        return _as_json({"kind": "usage", "message": text}, int(usage.exit_code), as_json)
    if isinstance(error, InputError):
        said = {"kind": "input", "found": error.found, "rule": error.rule, "remedy": error.remedy}
        print(f"error: {error}", file=sys.stderr)
        return _as_json({**said, "message": str(error)}, 2, as_json)
    if is_of_server(error):
        return _report("server", f"error: {server_message(error)}", 1, as_json)
    if isinstance(error, OSError):
        return _report("failure", f"error: {system_message(error)}", 1, as_json)
    if isinstance(error, ArtifactError | RunFailedError):
        return _report("failure", f"error: {error}", 1, as_json)
    log = write_log(error)
    first = first_line(error)
    said = f"error: {type(error).__name__}: {first}" if first else f"error: {type(error).__name__}"
    return _report("unexpected", f"{said}\n  traceback: {log}\n  remedy: {REMEDY}", 1, as_json, log=log)


def _report(kind: str, text: str, code: int, as_json: bool, **more: str) -> int:
    print(text, file=sys.stderr)
    return _as_json({"kind": kind, "message": text.removeprefix("error: "), **more}, code, as_json)


def _as_json(said: dict[str, Any], code: int, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": {**said, "exit_code": code}}, indent=1))
    return code


def innermost(error: BaseException) -> Any:
    """Return the first error of a group of parallel tasks' errors, and any other error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text; empty if it has none."""
    return next(iter(str(error).strip().splitlines()), "")


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def is_of_server(error: BaseException) -> bool:
    """Tell whether an error says that the Prefect server is away, or refuses this process."""
    if isinstance(error, ArtifactError | RunFailedError | InputError | OSError):  # these have words of their own
        return False
    return any(
        type(one).__module__.split(".")[0] in OF_CONNECTIONS
        or type(one).__name__ == "PrefectHTTPStatusError"
        or any(said in str(one) for said in OF_SERVER)
        for one in causes(error)
        if not isinstance(one, OSError)
    )


def server_message(error: BaseException) -> str:
    """Say which server was asked, where its address is set, what it answered, and what to do."""
    from flows.cli.server.own import AGAIN, its_files
    from flows.cli.server.settings import find_address

    address = find_address()
    first = first_line(error) or type(error).__name__
    found = f"{type(error).__name__}: {first}"
    if address is None:
        return (
            f"the Prefect server of this command does not answer any more ({found})\n"
            f"  {its_files()}\n  traceback: {write_log(error)}\n  remedy: {AGAIN}"
        )
    return (
        f"the Prefect server {address.url} does not answer as it should ({found})\n"
        f"  set in: {address.where}\n  traceback: {write_log(error)}\n  remedy: {address.remedy}; then run the same "
        "command again to go on"
    )


def system_message(error: OSError) -> str:
    """Say which file or connection failed and how, and what to do."""
    if error.errno is None or isinstance(error, WriteError):  # raised here, with words of its own
        return str(error)
    names = " and ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    found = f"{names}: {error.strerror}" if names else f"{error.strerror}\n  traceback: {write_log(error)}"
    remedy = OF_SYSTEM.get(error.errno)
    return f"{found}\n  remedy: {f'{remedy}; then ' if remedy else ''}run the same command again to go on"


@contextmanager
def kept_failures(store: str, campaign: str, day: str = "") -> Generator[None]:
    """Add what fails in the block to the store's list of failures, which `harvest list` shows.

    Parameters
    ----------
    day : acquisition date as YYYY-MM-DD; empty for a command on all dates of the campaign.
    """
    from storage.artifacts import Store
    from storage.records.notices import keep_notice, make_notice

    try:
        yield
    except InputError:  # nothing ran
        raise
    except Exception as error:
        first = first_line(innermost(error)) or type(error).__name__
        notice = make_notice("Failed", f"{campaign} {day}".strip(), first, campaign, day)
        with suppress(OSError):  # a store that cannot be written is what failed
            keep_notice(Store(store), notice)
        raise


def write_log(error: BaseException) -> str:
    """Append an error's traceback to the log, and return the log's path."""
    state = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser()
    text = "".join(traceback.format_exception(error))
    entry = f"{datetime.now(UTC).isoformat(timespec='seconds')} {' '.join(sys.argv)}\n{text}\n"
    for folder in (state / "harvest", Path(tempfile.gettempdir()) / f"harvest-{os.getuid()}"):
        path = folder / "errors.log"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            is_large = path.is_file() and path.stat().st_size > LOG_BYTES
            with path.open("w" if is_large else "a", encoding="utf-8") as log:
                log.write(entry)
        except OSError:
            continue
        return str(path)
    return "(no folder for it can be written)"
