"""Tests that every exception that can reach a user is one message, with its traceback in a log."""

import json
import sys
from pathlib import Path

import httpx
import pytest

from flows.cli.failures import run_program
from storage.errors import ArtifactError

AGAIN = "run the same command again to go on"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the log of errors into a folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state/harvest/errors.log"


def fail(error: BaseException, *arguments: str) -> int:
    def program(**_: object) -> None:
        raise error

    return run_program(program, list(arguments))


def from_http() -> Exception:
    try:
        raise httpx.ConnectError("All connection attempts failed")
    except httpx.ConnectError as error:
        made = RuntimeError("Failed to reach API at http://10.0.0.9:4200/api")
        made.__cause__ = error
        return made


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("plants"), "error: KeyError: 'plants'"),
        (RuntimeError("many\nlines\nof text"), "error: RuntimeError: many"),
        (AssertionError(), "error: AssertionError\n"),
        (MemoryError(), "error: MemoryError\n"),
        (RecursionError("too deep"), "error: RecursionError: too deep"),
        (ZeroDivisionError("division by zero"), "error: ZeroDivisionError: division by zero"),
    ],
)
def test_what_nobody_foresaw_is_one_message_with_a_log(
    error: Exception, said: str, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail(error, "run", "x.toml") == 1
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith(said) and "Traceback" not in shown.err
    assert f"  traceback: {state}" in shown.err and "run the same command again" in shown.err
    assert "Traceback (most recent call last)" in state.read_text() and type(error).__name__ in state.read_text()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ArtifactError("artefact images/1 has no a.zarr"), "error: artefact images/1 has no a.zarr\n"),
        (
            PermissionError(13, "Permission denied", "/store"),
            "error: /store: Permission denied\n  remedy: give this user the right to read and write it; then run the "
            "same command again to go on\n",
        ),
        (
            OSError(121, "Remote I/O error", "/a", None, "/b"),
            f"error: /a and /b: Remote I/O error\n  remedy: {AGAIN}\n",
        ),
        (OSError("bucket b does not answer"), "error: bucket b does not answer\n"),
        (ExceptionGroup("tasks", [ArtifactError("the first"), KeyError("second")]), "error: the first\n"),
        (KeyboardInterrupt(), "stopped; run the same command again to go on\n"),
    ],
)
def test_known_failures_are_their_message(
    error: BaseException, said: str, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail(error) == (130 if isinstance(error, KeyboardInterrupt) else 1)
    assert capsys.readouterr().err == said and not state.exists()


def test_an_error_of_the_system_without_a_file_has_a_log(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(OSError(24, "Too many open files")) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[:2] == ["error: Too many open files", f"  traceback: {state}"]
    assert said[2] == f"  remedy: allow more open files (ulimit -n 4096); then {AGAIN}" and state.is_file()


def test_debug_prints_the_traceback_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(KeyError("plants"), "--debug", "run") == 1
    said = capsys.readouterr().err
    assert "Traceback (most recent call last)" in said and "error: KeyError: 'plants'" in said


def test_json(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(KeyError("plants"), "run", "--json") == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["kind"], error["exit_code"], error["log"]) == ("unexpected", 1, str(state))


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("All connection attempts failed"), httpx.ReadTimeout("timed out"), from_http()]
)
@pytest.mark.parametrize("address", [None, "http://10.0.0.9:4200/api"])
def test_a_server_that_died_is_named(
    error: Exception,
    address: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    if address:
        monkeypatch.setenv("PREFECT_API_URL", address)
    assert fail(error) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said and "run the same command again to go on" in said.replace("\n  ", " ")
    if address:
        assert f"the Prefect server {address}" in said and "set in: the environment variable PREFECT_API_URL" in said
    else:
        assert "the Prefect server of this command does not answer any more" in said


def test_a_log_that_cannot_be_written_hides_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(sys, "argv", ["harvest"])
    assert fail(KeyError("plants")) == 1
    assert "error: KeyError: 'plants'" in capsys.readouterr().err
