"""Released clients that speak Responses, in a loop: the Agents SDK, pydantic-ai, LangChain, the AI SDK, OpenAI's for Node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clients.environments import environment
from tests.environments import node_modules
from tests.provider import Call, Provider, Reply
from tests.provider.claude import thinks_first
from tests.provider.openai_responses import is_responses
from tests.responses.test_door import openai_replies
from tests.stack.stack import Stack

pytestmark = pytest.mark.timeout(700)  # the first run on a machine fetches the packages
_CLIENTS = Path(__file__).parent / "clients"
_ROUTES = {"gpt": {"text": "Let me see.", "runs": [1]}, "claude": {"text": "42", "runs": [1, 2]}}
_RUN_S = 150


def _reply(call: Call) -> Reply:
    return openai_replies(call) if is_responses(call) else thinks_first(call)


def _report(command: list[str], stack: Stack, *routes: str, **more: str) -> dict[str, Any]:
    env = {"PATH": os.environ["PATH"], "OPENAI_BASE_URL": f"{stack.url}/v1", "OPENAI_API_KEY": stack.api_key}
    env |= {"SSL_CERT_FILE": str(stack.ca), "NODE_EXTRA_CA_CERTS": str(stack.ca), **more}
    done = subprocess.run(
        [*command, *(routes or _ROUTES)], env=env, capture_output=True, text=True, timeout=_RUN_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _check(report: dict[str, Any], count: int) -> None:
    assert len(report) == count
    wrong = {name: got for name, got in report.items() if got != _ROUTES[name.rpartition(" ")[2]]}
    assert wrong == {}


def test_python_clients_run_a_loop_with_a_tool(stacks: dict[str, Stack], simulator: Provider) -> None:
    simulator.script = _reply
    _check(_report([str(environment("openai-3").python), str(_CLIENTS / "loop.py")], stacks["nginx"]), 8)


def test_node_clients_run_a_loop_with_a_tool(stacks: dict[str, Stack], simulator: Provider) -> None:
    simulator.script = _reply
    script = node_modules("responses-node", _CLIENTS / "node").parent / "loop.mjs"
    shutil.copy(_CLIENTS / "loop.mjs", script)
    _check(_report([str(Path(sys.executable).parent / "node"), str(script)], stacks["envoy"]), 6)


def test_python_clients_let_the_gateway_remember(remembering: dict[str, Stack], simulator: Provider) -> None:
    simulator.script = _reply
    command = [str(environment("openai-3").python), str(_CLIENTS / "loop.py")]
    _check(_report(command, remembering["nginx"], "claude", REMEMBERS="1"), 4)
    shown = [[block["type"] for block in call.json["messages"][1]["content"]] for call in simulator.calls[-2:]]
    assert all(kinds[0] == "thinking" for kinds in shown)  # with its signature, else Anthropic refuses


def test_node_clients_let_the_gateway_remember(remembering: dict[str, Stack], simulator: Provider) -> None:
    """Two workers: the next turn may come to the other one."""
    simulator.script = _reply
    script = node_modules("responses-node", _CLIENTS / "node").parent / "loop.mjs"
    shutil.copy(_CLIENTS / "loop.mjs", script)
    command = [str(Path(sys.executable).parent / "node"), str(script)]
    for front in ("nginx", "envoy"):
        _check(_report(command, remembering[front], "claude", REMEMBERS="1"), 3)
