"""Commands as a person uses them: a conversation, colours, bars, the state of upstreams, what would become of a call."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.running import Running, config_for, sidecar
from tests.cli.terminal import Terminal
from tests.processes import REPOSITORY, free_port
from tests.provider import Call, Gate, Provider, Reply, default_reply

KEY = "sk-canary-0123456789abcdef"
DOWN = """  - name: down
    route_type: llm/v1/chat
    model: {{provider: openai-compatible, name: gone, config: {{base_url: "http://127.0.0.1:{port}/v1", api_key: {key}}}}}
    fallbacks: [{{provider: anthropic, name: spare, config: {{anthropic_api_base: "{root}", anthropic_api_key: {key}}}}}]
    breaker: {{consecutive_failures: 1, open: 1h}}
    limits: [{{requests: 600, per: minute}}]
"""


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Provider]]:
    with Provider() as provider:
        config = config_for(provider.base_url) + DOWN.format(port=free_port(), key=KEY, root=provider.root_url)
        with Running("serve", tmp_path_factory.mktemp("people"), config, "--workers", "1") as running:
            yield running, provider


def _at(running: Running) -> tuple[str, str]:
    return "--state-dir", str(running.state)


def test_a_conversation_remembers_and_ends_with_an_empty_line(core: tuple[Running, Provider]) -> None:
    running, provider = core
    before = len(provider.calls)
    with Terminal("chat", "chat", "--system", "Be brief.", *_at(running)) as terminal:
        terminal.wait_for("> ")
        terminal.type("one two\n")
        terminal.wait_for("echo: one two")
        terminal.wait_for("> ")
        terminal.type("three\n")
        terminal.wait_for("echo: three")
        terminal.wait_for("> ")
        terminal.type("\n")
        assert terminal.end() == 0
    first, second = (json.loads(call.body) for call in provider.calls[before:])
    assert first["stream"] is True
    assert [each["role"] for each in second["messages"]] == ["system", "user", "assistant", "user"]
    assert "echo: one two" in json.dumps(second["messages"][2])


def test_ctrl_c_stops_an_answer_and_the_conversation_goes_on(core: tuple[Running, Provider]) -> None:
    running, provider = core
    with Terminal("chat", "chat", *_at(running)) as terminal:
        terminal.wait_for("> ")
        gate = provider.gate("for ever")
        provider.script = lambda call: _held(call, gate)
        try:
            terminal.type("never answered\n")
            provider.wait_for(lambda each: each.calls and "never answered" in str(each.calls[-1].body))
            terminal.type("\x03")
            terminal.wait_for("Stopped")
        finally:
            provider.script = None
            gate.open()
        terminal.wait_for("> ")
        terminal.type("again\n")
        terminal.wait_for("echo: again")
        terminal.wait_for("> ")
        terminal.type("\x04")
        assert terminal.end() == 0
    assert "never answered" not in str(provider.calls[-1].body), "it was forgotten"


def test_routes_say_how_their_upstreams_are(core: tuple[Running, Provider]) -> None:
    running, _ = core
    assert running.call("chat", "down", "hi").returncode == 0, "the fallback answers"
    lines = running.call("routes").stdout.splitlines()
    chat = next(line for line in lines if line.startswith("chat "))
    down = next(index for index, line in enumerate(lines) if line.startswith("down "))
    assert chat.split()[-1] == "available"
    assert "ejected by 1 of 1 worker" in lines[down]
    assert lines[down + 1].split() == ["anthropic", "spare", "available"]


def test_explain_says_which_upstream_and_what_it_would_get_and_sends_nothing(core: tuple[Running, Provider]) -> None:
    running, provider = core
    assert running.call("chat", "down", "hi").returncode == 0
    before = len(provider.calls)
    done = running.call("explain", "down", "Why?", "--config-path", str(running.config))
    assert done.returncode == 0, done.stderr
    assert 'route "down": 600 requests per minute' in done.stdout
    assert "ejected by 1 of 1 worker" in done.stdout
    assert "anthropic would get (the first to be called)" in done.stdout
    assert f"POST {provider.root_url}/v1/messages" in done.stdout
    assert '"content": "Why?"' in done.stdout
    assert KEY not in done.stdout
    assert len(provider.calls) == before


def test_explain_names_what_would_be_left_out_or_refused(core: tuple[Running, Provider]) -> None:
    running, _ = core
    body = {
        "model": "down",
        "messages": [{"role": "user", "content": "hi"}],
        "metadata": {"a": "b"},
    }
    done = running.call("explain", "down", "--body", "-", "--config-path", str(running.config), stdin=json.dumps(body))
    assert "left out   metadata" in done.stdout
    refused = {**body, "logit_bias": {"5": 1}}
    done = running.call(
        "explain", "down", "--body", "-", "--config-path", str(running.config), stdin=json.dumps(refused)
    )
    assert "anthropic would not be called" in done.stdout
    assert "logit_bias" in done.stdout


def test_explain_needs_neither_a_gateway_nor_its_variables(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        config_for("http://127.0.0.1:9/v1").replace("base_url: http", "api_key: $NOT_SET_HERE, base_url: http")
    )
    there = ("--config-path", str(config), "--target", f"127.0.0.1:{free_port()}")
    done = sidecar("explain", "embeddings", "a text", *there)
    assert done.returncode == 0, done.stderr
    assert "no gateway at" in done.stdout
    assert '"a text"' in done.stdout
    lost = sidecar("explain", "nowhere", *there)
    assert lost.returncode == 1
    assert "It may call: chat, completions, embeddings." in lost.stderr


def test_the_address_of_the_environment_is_used_unless_a_state_directory_is_named(
    core: tuple[Running, Provider], tmp_path: Path
) -> None:
    running, _ = core
    exported = {**os.environ, "SIDECAR_GRPC_LOCAL": running.env["SIDECAR_GRPC_LOCAL"]}
    command = [sys.executable, "-m", "sidecar", "routes"]
    done = subprocess.run(command, env=exported, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    exported["SIDECAR_GRPC_LOCAL"] = f"127.0.0.1:{free_port()}"
    lost = subprocess.run(command, env=exported, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert exported["SIDECAR_GRPC_LOCAL"] in lost.stderr
    named = subprocess.run(
        [*command, *_at(running)], env=exported, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert named.returncode == 0, named.stderr


def test_the_shell_completes_commands_and_routes(core: tuple[Running, Provider]) -> None:
    running, _ = core

    def completed(words: str) -> list[str]:
        env = {
            **os.environ,
            "_SIDECAR_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
            "SIDECAR_GRPC_LOCAL": running.env["SIDECAR_GRPC_LOCAL"],
        }
        program = str(Path(sys.executable).parent / "sidecar")
        done = subprocess.run(
            [program], env=env, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
        )
        return done.stdout.split()

    assert completed("sidecar expl") == ["explain"]
    assert completed("sidecar chat co") == ["completions"]
    assert "--install-completion" in sidecar("--help").stdout


def test_what_takes_long_is_shown_with_its_time(tmp_path: Path) -> None:
    with Running("serve", tmp_path, config_for("http://127.0.0.1:9/v1"), "--workers", "1") as running:
        with Terminal("down", *_at(running)) as terminal:
            terminal.wait_for("Waiting until the calls in progress have ended")
            terminal.wait_for("Stopped")
            assert terminal.end() == 0


def test_check_has_colours_on_a_terminal_alone(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("routes:\n  - name: chat\n    route_tpye: llm/v1/chat\n")
    plain = sidecar("check", str(config))
    assert "\x1b" not in plain.stderr
    assert re.search(r"^ +3 \| +route_tpye: \*\*\*$", plain.stderr, re.M)
    for env, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        with Terminal("check", str(config), env=env) as terminal:
            assert terminal.end() == 1
        assert bool(re.search(r"\x1b\[[0-9;]*3[0-9]", terminal.output)) is coloured


def _held(call: Call, gate: Gate) -> Reply:
    reply = default_reply(call, call.json)
    return replace(reply, parts=(gate, *reply.parts))
