"""Released clients of Azure, against both fronts: OpenAI's Azure classes, LangChain's, the AI SDK's provider."""

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
from tests.messages.providers import TEXT, answers
from tests.provider import Call, Provider, Reply, default_reply
from tests.stack.stack import Stack

pytestmark = pytest.mark.timeout(700)  # the first run on a machine fetches the packages
_CLIENTS = Path(__file__).parent / "clients"
_ROUTES = ("team/gpt", "claude")
_RUN_S = 100
# A route of OpenAI's passes the call of its Responses API on as it is.
RESPONSE = {"team/gpt": "echo: Say hello.", "claude": TEXT}
RUNS = [1, "Grüß"]  # what the simulated provider calls the tool with


def _reply(call: Call) -> Reply:
    return answers(call) if "messages" in call.json else default_reply(call, call.json)


def _report(command: list[str], stack: Stack) -> dict[str, Any]:
    env = {"PATH": os.environ["PATH"], "AZURE_OPENAI_ENDPOINT": stack.url, "AZURE_OPENAI_API_KEY": stack.api_key}
    env |= {"SSL_CERT_FILE": str(stack.ca), "NODE_EXTRA_CA_CERTS": str(stack.ca)}
    done = subprocess.run([*command, *_ROUTES], env=env, capture_output=True, text=True, timeout=_RUN_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_azure_classes_for_python(stack: Stack, simulator: Provider) -> None:
    simulator.script = _reply
    report = _report([str(environment("openai-3").python), str(_CLIENTS / "sdk.py")], stack)
    for name in _ROUTES:
        python, asynchronous, langchain = (report[name][kind] for kind in ("python", "async", "langchain"))
        assert (python["text"], python["pieces"], python["pinned"], python["response"]) == (
            TEXT,
            TEXT,
            TEXT,
            RESPONSE[name],
        )
        assert python["vector"] > 0
        assert python["completion"]
        assert python["failure"] == [404, "model_not_found", True]
        assert set(_ROUTES) < set(python["models"])
        assert asynchronous == {"text": TEXT, "pieces": TEXT}
        assert langchain == {"text": TEXT, "pieces": TEXT, "runs": RUNS}


def test_the_azure_classes_for_node(stack: Stack, simulator: Provider) -> None:
    simulator.script = _reply
    script = node_modules("azure-node", _CLIENTS / "node").parent / "sdk.mjs"
    shutil.copy(_CLIENTS / "sdk.mjs", script)
    report = _report([str(Path(sys.executable).parent / "node"), str(script)], stack)
    for name in _ROUTES:
        node = report[name]["node"]
        assert (node["text"], node["pieces"], node["response"]) == (TEXT, TEXT, RESPONSE[name])
        assert (node["vector"] > 0, node["failure"]) == (True, [404, "model_not_found", True])
        assert report[name]["aiSdk"] == report[name]["aiSdkDeployment"] == {"text": TEXT, "pieces": TEXT, "runs": RUNS}
