"""Commands that run in this process."""

import pytest


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the environment variables that a command sets, after each test."""
    for name in (
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL",
        "PREFECT_SERVER_ANALYTICS_ENABLED",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS",
        "DO_NOT_TRACK",
    ):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
