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


def _report(command: list[str], stack: Stack) -> dict[str, Any]:
    env = {"PATH": os.environ["PATH"], "OPENAI_BASE_URL": f"{stack.url}/v1", "OPENAI_API_KEY": stack.api_key}
    env |= {"SSL_CERT_FILE": str(stack.ca), "NODE_EXTRA_CA_CERTS": str(stack.ca)}
    done = subprocess.run([*command, *_ROUTES], env=env, capture_output=True, text=True, timeout=_RUN_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _check(report: dict[str, Any], clients: int) -> None:
    assert len(report) == clients * len(_ROUTES)
    wrong = {name: got for name, got in report.items() if got != _ROUTES[name.rpartition(" ")[2]]}
    assert wrong == {}


def test_python_clients_run_a_loop_with_a_tool(stacks: dict[str, Stack], simulator: Provider) -> None:
    simulator.script = _reply
    _check(_report([str(environment("openai-3").python), str(_CLIENTS / "loop.py")], stacks["nginx"]), 4)


def test_node_clients_run_a_loop_with_a_tool(stacks: dict[str, Stack], simulator: Provider) -> None:
    simulator.script = _reply
    script = node_modules("responses-node", _CLIENTS / "node").parent / "loop.mjs"
    shutil.copy(_CLIENTS / "loop.mjs", script)
    _check(_report([str(Path(sys.executable).parent / "node"), str(script)], stacks["envoy"]), 3)
