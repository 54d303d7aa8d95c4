"""Released programs that speak Messages, against both fronts: Anthropic's SDKs with their helpers, Claude Code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.messages import environments
from tests.messages.agent import COMMANDS, LAST, Agent
from tests.messages.providers import CALLS, CITY, TEXT, answers, answers_schemas
from tests.provider import Call, Provider, Reply, json_reply
from tests.stack.stack import Stack

pytestmark = pytest.mark.timeout(700)  # the first run on a machine fetches the packages
RUN_S = 100
NODE = Path(sys.executable).parent / "node"
ROUTES = ("claude", "gpt-5", "cohere")


def keeps_no_threads(call: Call) -> Reply:
    """Anthropic where the beta is not to be had: what its SDKs then expect."""
    if call.json and "thread" in call.json:
        details = {"error_code": "thread_unsupported_request"}
        error = {"type": "invalid_request_error", "message": "No threads here.", "details": details}
        return json_reply({"type": "error", "error": error}, status=400)
    if call.path.endswith("/count_tokens"):
        return json_reply({"input_tokens": 9})
    return answers(call)


def run(command: list[str], stack: Stack, folder: Path | None = None, **variables: str) -> Any:
    """What the program printed, as JSON."""
    env = {"PATH": os.environ["PATH"], "ANTHROPIC_BASE_URL": stack.url, **variables}
    env |= {"SSL_CERT_FILE": str(stack.ca), "NODE_EXTRA_CA_CERTS": str(stack.ca)}
    done = subprocess.run(
        command,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def check(report: dict[str, Any], route: str) -> None:
    assert (report["text"], report["pieces"], report["streamed"], report["runner"]) == (TEXT,) * 4
    assert (report["stop_reason"], report["usage"], report["request_id"]) == ("end_turn", 33, True)
    assert (report["tool_runs"], report["streamed_tool_runs"]) == (2, 2)
    assert report["streamed_runner"] == ["tool_use", "text"]
    assert report["failure"] == [404, "not_found_error", True]
    assert report["count"] == 9 if route == "claude" else report["count"] > 0
    assert set(ROUTES) <= set(report["models"])


def test_anthropics_python_sdk_with_its_stream_helper_and_tool_runner(stack: Stack, simulator: Provider) -> None:
    simulator.script = keeps_no_threads
    python = str(environments.python_sdk().python)
    command = [python, str(environments.CLIENTS / "sdk.py"), *ROUTES]
    for route, report in run(command, stack, ANTHROPIC_API_KEY=stack.api_key).items():
        check(report, route)


def test_anthropics_node_sdk_with_its_stream_helper_and_tool_runner(stack: Stack, simulator: Provider) -> None:
    simulator.script = keeps_no_threads
    script = environments.node_sdk().parent / "sdk.mjs"
    shutil.copy(environments.CLIENTS / "sdk.mjs", script)
    for route, report in run([str(NODE), str(script), *ROUTES], stack, ANTHROPIC_API_KEY=stack.api_key).items():
        check(report, route)


def check_framework(name: str, route: str, report: dict[str, Any]) -> None:
    assert (report["text"], report["pieces"]) == (TEXT, TEXT), (name, route)
    assert report["usage"] == [40, 12], (name, route)  # cached tokens among them
    loop = [TEXT, [value["q"] for _, value in CALLS], True]
    assert report["loops"] == {"whole": loop, "streamed": loop}, (name, route)
    assert report["city"] == CITY, (name, route)
    assert report["failure"] == [404, True], (name, route)


def test_frameworks_for_python_loop_think_stream_and_keep_to_a_schema(
    stacks: dict[str, Stack], simulator: Provider
) -> None:
    simulator.script = answers_schemas
    command = [str(environments.frameworks().python), str(environments.CLIENTS / "frameworks.py"), "claude", "gpt-5"]
    stack = stacks["nginx"]
    for route, clients in run(command, stack, ANTHROPIC_API_KEY=stack.api_key).items():
        assert len(clients) == 3
        for name, report in clients.items():
            check_framework(name, route, report)


def test_the_ai_sdk_loops_thinks_streams_and_keeps_to_a_schema(stacks: dict[str, Stack], simulator: Provider) -> None:
    simulator.script = answers_schemas
    script = environments.ai_sdk().parent / "ai_sdk.mjs"
    shutil.copy(environments.CLIENTS / "ai_sdk.mjs", script)
    stack = stacks["envoy"]
    for route, clients in run(
        [str(NODE), str(script), "claude", "gpt-5"], stack, ANTHROPIC_API_KEY=stack.api_key
    ).items():
        check_framework("aiSdk", route, clients["aiSdk"])


def claude(stack: Stack, folder: Path, route: str, *options: str) -> dict[str, Any]:
    """One run of Claude Code without a terminal, as docs/reference/agents.md has it."""
    modules = environments.claude_code()
    (program,) = (path for path in modules.glob("@anthropic-ai/claude-code-*/claude") if os.access(path, os.X_OK))
    found: dict[str, Any] = run(
        [str(program), "-p", "Run the commands.", "--output-format", "json", *options],
        stack,
        folder,
        HOME=str(folder),
        ANTHROPIC_AUTH_TOKEN=stack.api_key,
        ANTHROPIC_MODEL=route,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        CLAUDE_CODE_MAX_RETRIES="1",
        DISABLE_AUTOUPDATER="1",
    )
    return found


@pytest.mark.parametrize("route", ["claude", "gpt-5"])
def test_claude_code_runs_a_loop_of_tools_with_parallel_calls(
    stack: Stack, simulator: Provider, tmp_path: Path, route: str
) -> None:
    simulator.script = agent = Agent("Bash")
    report = claude(stack, tmp_path, route, "--allowedTools", "Bash")
    assert (report["is_error"], report["result"]) == (False, LAST)
    assert len(agent.sent) == 3  # and none was asked again
    results = json.dumps(agent.sent[-1]["messages"])
    assert [word for word in ("one-21", "two-22", "three-23") if word not in results] == []
    assert sum(len(commands) for commands in COMMANDS) == 3
    calls = [line for line in stack.log.splitlines() if f'"route":"{route}"' in line and '"stream_messages"' in line]
    assert [line for line in calls[-3:] if '"outcome":"ok"' not in line] == []
    if route == "gpt-5":
        assert "DeferredToolPlaceholder" not in json.dumps(agent.sent[0]["tools"])
        assert "x-anthropic-billing-header" not in json.dumps(agent.sent[0]["messages"])
