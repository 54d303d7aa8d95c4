"""Fixtures of all tests, and the rule about skips: only what is missing on this machine is skipped, with a reason,
and never in CI."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.processes import free_port as pick_free_port
from tests.provider import Provider
from tests.shared import NEEDED, shared_path

TESTS = Path(__file__).parent
# Skips must say what is missing in these words; any other skip is a failure.
SKIP_REASON_START = "needs "
EMPTY_REASON_START = "got empty parameter set"
LEFTOVER_TASK_DEADLINE_S = 1.0

# Slow examples on a busy machine are not a failure.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


# What starts processes is slow by what the marker says; of a worker's tests the typed service stays in the inner loop,
# and of the upstream's those without sockets.
SLOW_FOLDERS = frozenset(
    {
        "azure",
        "bench",
        "cli",
        "client",
        "clients",
        "conformance",
        "crawl",
        "doors",
        "endurance",
        "faults",
        "floods",
        "front",
        "garbage",
        "gateway",
    }
    | {
        "growth",
        "local",
        "messages",
        "mlflow",
        "mlflow_models",
        "provider",
        "responses",
        "routes",
        "stack",
        "supervisor",
    }
    | {"upstream", "worker"}
)
IN_ONE_ROW = SLOW_FOLDERS | {"operations", "guides"}
PROGRAM_FOLDERS = frozenset({"clients", "examples", "mlflow", "mlflow_models"})
PROGRAM_FILES = frozenset({"test_codex.py", "test_programs.py"})
FAST_FILES = frozenset(
    {"test_typed.py", "test_admission.py", "test_breaker.py", "test_prompt_secrets.py", "test_mlflow_admin.py"}
    | {"test_head.py", "test_judging.py", "test_parser.py", "test_coding.py"}
)


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() in ("true", "1")


@pytest.hookimpl(tryfirst=True)  # runs before `-m "not slow"` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
        if folder in SLOW_FOLDERS and item.path.name not in FAST_FILES:
            item.add_marker(pytest.mark.slow)


class Rows(LoadScopeScheduling):  # type: ignore[misc]
    """Two tests that start processes or load the box would take the cores from each other: the process that runs one runs all
    of them, one after another. Tests of other people's programs wait for these more than for the cores: they are a second row
    beside the first. Files of all others are spread."""

    def _split_scope(self, nodeid: str) -> str:
        """xdist's own groups do not work with pytest 9.2, which keeps the ids of tests elsewhere."""
        file = nodeid.partition("::")[0]
        _, folder, *_ = (*file.split("/"), "")
        name = file.rpartition("/")[2]
        if folder in PROGRAM_FOLDERS or name in PROGRAM_FILES:
            return "programs"
        if folder in IN_ONE_ROW and name not in FAST_FILES:
            return "machine"
        return file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Rows:
    return Rows(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        program = marker.args[0]
        if shutil.which(program) is None:
            reason = f"{SKIP_REASON_START}{program}, which is not on the PATH"
            if in_ci():
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)


def _name_what_is_missing(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Adds the reason of a skip. A property over the shared recordings has no case without them: pytest calls that
    an empty set."""
    if not isinstance(report.longrepr, tuple):
        return str(report.longrepr)
    path, line, reason = report.longrepr
    if EMPTY_REASON_START in reason and shared_path() is None:
        reason = f"Skipped: {NEEDED}"
        report.longrepr = (path, line, reason)
    return reason.removeprefix("Skipped: ")


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = _name_what_is_missing(report)
    if in_ci() or not reason.startswith(SKIP_REASON_START):
        report.outcome = "failed"
        report.longrepr = f"skipped, which is a failure {'in CI' if in_ci() else 'here'}: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A simulated provider, healthy until the test changes its script."""
    with Provider() as running:
        yield running


@pytest.fixture
def tls_provider() -> Iterator[Provider]:
    """The same behind TLS; clients must trust `ca_file`."""
    with Provider(tls=True) as running:
        yield running


@pytest.fixture
def free_port() -> int:
    return pick_free_port()


@pytest.fixture
async def no_task_left() -> AsyncIterator[None]:
    """Fails the test if asyncio tasks that it started still run at its end."""
    before = asyncio.all_tasks()
    yield
    end_s = asyncio.get_running_loop().time() + LEFTOVER_TASK_DEADLINE_S
    while left := asyncio.all_tasks() - before - {asyncio.current_task()}:
        if asyncio.get_running_loop().time() > end_s:
            pytest.fail(f"tasks left behind: {[str(task) for task in left]}", pytrace=False)
        await asyncio.sleep(0.005)
