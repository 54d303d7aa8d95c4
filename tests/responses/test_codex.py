"""Codex, the released program, without a terminal: a loop of two commands at once, on each kind of route, behind both fronts."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.environments import node_modules
from tests.provider import Call, Provider, Reply, data, event, sse_reply
from tests.provider.claude import events_of
from tests.provider.openai_responses import MESSAGE, REASONING, events, is_responses
from tests.stack.stack import Stack

pytestmark = pytest.mark.timeout(700)  # the first run on a machine fetches the package
_SOURCES = Path(__file__).parent / "clients" / "codex"
_RUN_S = 100
_COMMANDS = ("echo one-$((20 + 1))", "echo two-$((20 + 2))")
_LAST = "Both were run: finished-4711."


class Agent:
    """A provider that wants two commands run at once, then has its last word. `sent` are the bodies."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def __call__(self, call: Call) -> Reply:
        self.sent.append(call.json)
        commands = () if len(self.sent) > 1 else _COMMANDS
        if is_responses(call):
            return _responses(commands)
        return _messages(commands) if call.path.endswith("/messages") else _chat(commands)


def _responses(commands: tuple[str, ...]) -> Reply:
    calls = [
        {"id": f"fc_{n}", "type": "function_call", "status": "completed", "call_id": f"call_{n}", "name": "exec_command",
         "arguments": json.dumps({"cmd": command})}
        for n, command in enumerate(commands)
    ]  # fmt: skip
    last = {**MESSAGE, "content": [{"type": "output_text", "text": _LAST, "annotations": []}]}
    return sse_reply(events(REASONING, *calls) if calls else events(last))


def _messages(commands: tuple[str, ...]) -> Reply:
    thought = {"type": "thinking", "thinking": "Let me think.", "signature": "c2ln"}
    calls: list[dict[str, Any]] = [
        {"type": "tool_use", "id": f"toolu_{n}", "name": "exec_command", "input": {"cmd": command}}
        for n, command in enumerate(commands)
    ]
    blocks = [thought, *calls] if calls else [{"type": "text", "text": _LAST}]
    return sse_reply([event(each["type"], each) for each in events_of(blocks, "tool_use" if calls else "end_turn")])


def _chat(commands: tuple[str, ...]) -> Reply:
    calls = [
        {"index": n, "id": f"call_{n}", "type": "function",
         "function": {"name": "exec_command", "arguments": json.dumps({"cmd": command})}}
        for n, command in enumerate(commands)
    ]  # fmt: skip
    delta = {"role": "assistant", **({"tool_calls": calls} if calls else {"content": _LAST})}
    finish = "tool_calls" if calls else "stop"
    choices = [{"index": 0, "delta": delta, "finish_reason": None}, {"index": 0, "delta": {}, "finish_reason": finish}]
    chunks = [{"id": "c", "created": 1, "model": "m", "choices": [choice]} for choice in choices]
    return sse_reply([*(data(chunk) for chunk in chunks), b"data: [DONE]\n\n"])


def codex(stack: Stack, folder: Path, route: str) -> list[dict[str, Any]]:
    """What a run as docs/reference/agents.md has it prints: one event a line."""
    modules = node_modules("codex", _SOURCES)
    (program,) = (path for path in modules.glob("@openai/codex-*/vendor/*/bin/codex") if os.access(path, os.X_OK))
    gateway = (
        f'{{name="Gateway",base_url="{stack.url}/v1",wire_api="responses",env_key="GATEWAY_KEY",request_max_retries=1}}'
    )
    options = ["-c", 'model_provider="gateway"', "-c", f"model_providers.gateway={gateway}"]
    done = subprocess.run(
        [str(program), "exec", "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox",
         "-m", route, *options, "Run the commands."],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "CODEX_HOME": str(folder), "GATEWAY_KEY": stack.api_key,
             "SSL_CERT_FILE": str(stack.ca)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_RUN_S,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("route", ["gpt", "claude", "chat"])
def test_codex_runs_two_commands_at_once_and_ends_its_turn(
    stack: Stack, simulator: Provider, tmp_path: Path, route: str
) -> None:
    simulator.script = agent = Agent()
    seen = codex(stack, tmp_path, route)
    items = [each["item"] for each in seen if each["type"] == "item.completed"]
    outputs = [item["aggregated_output"] for item in items if item["type"] == "command_execution"]
    assert sorted(outputs) == ["one-21\n", "two-22\n"]
    assert [item["text"] for item in items if item["type"] == "agent_message"] == [_LAST]
    assert seen[-1]["type"] == "turn.completed"
    assert len(agent.sent) == 2  # and none was asked again
    again = json.dumps(agent.sent[1])
    assert [word for word in ("one-21", "two-22") if word not in again] == []
    assert ("gAAAAsealed" in again, '"c2ln"' in again) == (route == "gpt", route == "claude")
