"""Tests of how commands set up Prefect and the terminal."""

import logging

import pytest

from flows.cli.options import NOTICES, configure_prefect


@pytest.mark.parametrize("n_times", [1, 2])
def test_warnings_of_flows_are_printed_once(n_times: int, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(n_times):
        configure_prefect(logs=False)
    try:
        logging.getLogger("flows.review.waiting").warning("waiting for %s", "an answer")
        logging.getLogger("flows.review.waiting").info("not for a person")
    finally:
        logging.getLogger("flows").removeHandler(NOTICES)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "waiting for an answer\n")
