"""Agents that live in editors, by their command lines: Continue and Cline, with the settings that docs/reference/agents.md gives.
The same code asks the model in the editor.

`python -m tests.clients.environments` resolves their lock, too.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.double.model import TEMPERATURE
from tests.clients.environments import node_modules, version
from tests.stack.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "agents.md"
_NODE = Path(sys.executable).parent / "node"
_RUN_S = 120
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

# A prompt for the program in a folder, on a route -> what it printed.
Ask = Callable[[Stack, Path, str, str], str]


def run(stack: Stack, folder: Path, *command: str) -> str:
    """What it wrote on its standard output. It has nobody's settings, and calls nobody else."""
    quiet = {"DO_NOT_TRACK": "1", "CLINE_NO_AUTO_UPDATE": "1", "CONTINUE_TELEMETRY_ENABLED": "0", "NO_COLOR": "1"}
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "NODE_EXTRA_CA_CERTS": str(stack.ca), **quiet},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_RUN_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-1000:]}{done.stderr[-1000:]}"
    return _COLOURS.sub("", done.stdout)


def continue_cli(stack: Stack, folder: Path, route: str, prompt: str) -> str:
    """With the page's file, in which a user writes a route and two values."""
    lines = PAGE.read_text().partition("  name: Gateway\n")[2].partition("  ```")[0]
    written = "name: Gateway\n" + "".join(line.removeprefix("  ") for line in lines.splitlines(keepends=True))
    written = re.sub(r"model: claude .*", f"model: {route}", written)
    for shown, value in (
        ("https://gateway.example.com", stack.url),
        ("YOUR_API_KEY", stack.api_key),
        ("/path/to/ca.pem", str(stack.ca)),
    ):
        assert shown in written
        written = written.replace(shown, value)
    (folder / "config.yaml").write_text(written)
    program = node_modules("editors") / "@continuedev" / "cli" / "dist" / "cn.js"
    return run(stack, folder, str(_NODE), str(program), "--print", "--auto", "--config", "config.yaml", prompt)


def cline_cli(stack: Stack, folder: Path, route: str, prompt: str) -> str:
    """What the settings "OpenAI Compatible" of the editor ask for, its command line asks for, too."""
    (program,) = (node_modules("editors") / "@cline").glob("cli-linux-*/bin/cline")
    settings = ("--provider", "openai", "--apikey", stack.api_key, "--modelid", route, "--baseurl", f"{stack.url}/v1")
    run(stack, folder, str(program), "auth", *settings)
    return run(stack, folder, str(program), prompt)


PROGRAMS: dict[str, tuple[Ask, str]] = {
    "Continue": (continue_cli, "Call Read with filepath={folder}/Paris"),
    "Cline": (cline_cli, "Call run_commands with commands=cat<Paris"),
}


def test_the_page_has_the_versions_of_the_lock() -> None:
    page = PAGE.read_text()
    for name, package in (("Continue", "@continuedev/cli"), ("Cline", "@cline/cli-linux-x64")):
        assert f"| {name} | chat completions | below | its command line, {version(package, 'editors')}," in page


@pytest.mark.parametrize("route", ["gpt", "claude"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_it_calls_a_tool_and_tells_what_it_found(gateway: Stack, tmp_path: Path, name: str, route: str) -> None:
    ask, tool = PROGRAMS[name]
    (tmp_path / "Paris").write_text(TEMPERATURE)
    found = ask(gateway, tmp_path, route, f"What is the weather in Paris? {tool.format(folder=tmp_path)}")
    assert "The tool says" in found
    assert TEMPERATURE in found
