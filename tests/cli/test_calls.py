"""routes, chat, complete and embed against a core with the simulator behind it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import Running, config_for
from tests.provider import Provider, error_reply

pytestmark = pytest.mark.slow


@pytest.fixture
def core(tmp_path: Path, provider: Provider) -> Iterator[Running]:
    with Running("serve", tmp_path, config_for(provider.base_url), "--workers", "1") as running:
        yield running


def test_routes_are_listed_in_the_order_of_the_file(core: Running) -> None:
    rows = [line.split() for line in core.call("routes").stdout.splitlines()]
    assert rows == [
        ["ROUTE", "TASK", "PROVIDER", "MODEL", "STATE"],
        ["chat", "chat", "openai-compatible", "sim-chat", "available"],
        ["completions", "completions", "openai-compatible", "sim-completions", "available"],
        ["embeddings", "embeddings", "openai-compatible", "sim-embeddings", "available"],
    ]


@pytest.mark.parametrize("command", ["chat", "complete"])
def test_the_prompt_comes_from_the_arguments_or_from_stdin_and_the_answer_is_printed(
    core: Running, provider: Provider, command: str
) -> None:
    route = {"chat": "chat", "complete": "completions"}[command]
    given = core.call(command, route, "Say hello to me.", "--max-tokens", "5")
    piped = core.call(command, route, "--max-tokens", "5", stdin="Say hello to me.")
    assert given.returncode == 0, given.stderr
    assert given.stdout.strip()
    assert given.stdout == piped.stdout
    bodies = [json.loads(call.body) for call in provider.calls]
    assert bodies[0]["max_tokens"] == 5
    assert bodies[0]["stream"] is True
    assert "Say hello to me." in json.dumps(bodies[0])


def test_embed_prints_a_vector_a_line_in_the_order_of_the_texts(core: Running) -> None:
    both = core.call("embed", "embeddings", "one", "two")
    assert both.returncode == 0, both.stderr
    lines = both.stdout.splitlines()
    assert len(lines) == 2
    assert all(isinstance(number, float) for line in lines for number in json.loads(line))
    assert core.call("embed", "embeddings", stdin="one\ntwo\n").stdout == both.stdout


def _line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_a_failed_call_is_one_line_with_the_code(core: Running, provider: Provider) -> None:
    assert "NOT_FOUND" in _line(core.call("chat", "nowhere", "hello"))
    provider.script = lambda call: error_reply(call, 429, "slow down")
    assert "RESOURCE_EXHAUSTED" in _line(core.call("chat", "chat", "hello"))
