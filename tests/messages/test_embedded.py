"""Claude Code on the embedded model: as far as a model of 135 million parameters without tools goes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.messages import environments
from tests.messages.test_programs import RUN_S
from tests.stack.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # the first run on a machine fetches the model too
SMALL = ("--tools", "", "--system-prompt", "Be short.")
WITH_TOOLS = ("--tools", "Bash", "--allowedTools", "Bash", "--system-prompt", "Be short.")
_LOCAL = "    route_type: llm/v1/chat\n    model: {provider: local, name: smollm2}\n"
CONFIG = f"routes:\n  - name: chat\n{_LOCAL}  - name: textual\n{_LOCAL}    drop_params: [tools]\n"


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("embedded"), CONFIG, workers=1) as stack:
        yield stack


def claude(stack: Stack, folder: Path, route: str, *options: str) -> dict[str, Any]:
    """What a run of Claude Code prints, though it may have failed."""
    modules = environments.claude_code()
    (program,) = (path for path in modules.glob("@anthropic-ai/claude-code-*/claude") if os.access(path, os.X_OK))
    quiet = dict.fromkeys(("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "CLAUDE_CODE_MAX_RETRIES"), "1")
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "ANTHROPIC_BASE_URL": stack.url, **quiet}
    env |= {"ANTHROPIC_AUTH_TOKEN": stack.api_key, "NODE_EXTRA_CA_CERTS": str(stack.ca), "ANTHROPIC_MODEL": route}
    done = subprocess.run(
        [str(program), "-p", "Say hello.", "--output-format", "json", *options],
        cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_S, check=False,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_without_its_tools_and_instructions_claude_code_is_answered(embedded: Stack, tmp_path: Path) -> None:
    report = claude(embedded, tmp_path, "chat", *SMALL)
    assert (report["is_error"], bool(report["result"])) == (False, True)


def test_with_tools_it_reads_that_this_model_has_none(embedded: Stack, tmp_path: Path) -> None:
    report = claude(embedded, tmp_path, "chat", *WITH_TOOLS)
    assert report["is_error"]
    assert "'tools'" in report["result"]
    assert "drop_params" in report["result"]


def test_a_route_that_drops_tools_answers_in_text(embedded: Stack, tmp_path: Path) -> None:
    report = claude(embedded, tmp_path, "textual", *WITH_TOOLS)
    assert (report["is_error"], bool(report["result"])) == (False, True)
