"""Says in every run which recordings the laws leave out."""

from __future__ import annotations

import pytest

from tests.adapters.laws import EXCLUDED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("recordings that no law runs over")
    for name, reason in EXCLUDED.items():
        terminalreporter.line(f"{name}: {reason}")
