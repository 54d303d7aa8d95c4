"""A Node service that knows nothing but inference.proto: @grpc/grpc-js over local gRPC and through the front."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.client_streams import LEFT_IN_NODE, client_streams, not_listed
from tests.processes import REPOSITORY
from tests.provider import Provider, default_reply, error_reply
from tests.stack.stack import FRONT, LOCAL, Stack, config_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]  # the first start on a machine fetches the model
BIN = Path(sys.executable).parent
INSTALL_S, RUN_S = 200, 90
GAP_S = 0.3
# Of each gap, what must be left of it on arrival: less would mean that pieces are held back and sent together.
GAP_KEPT = 0.5


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tests/node with its packages, as the lock has them."""
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json", ".npmrc", "client.mjs", "retrying.mjs", "adding.mjs"):
        shutil.copy(REPOSITORY / "tests" / "node" / name, folder)
    done = subprocess.run(
        [BIN / "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder,
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def run(clients: Path, stack: Stack, entrance: str, prompt: str) -> Any:
    """What client.mjs printed."""
    target = (
        (stack.grpc_front, str(stack.ca), f"Bearer {stack.api_key}")
        if entrance == FRONT
        else (stack.grpc_local, "-", "-")
    )
    done = subprocess.run(
        [BIN / "node", "client.mjs", str(REPOSITORY / "proto"), *target, prompt],
        cwd=clients,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def text_of(pieces: list[Any]) -> str:
    return "".join(
        choice["delta"].get("content", "") for piece in pieces for choice in piece["chunk"].get("choices", [])
    )


@pytest.mark.parametrize("entrance", [LOCAL, FRONT])
def test_node_gets_the_real_models_answer_whole_and_in_pieces(model_stack: Stack, clients: Path, entrance: str) -> None:
    report = run(clients, model_stack, entrance, "Say hello.")
    answer, pieces = report["answer"], report["pieces"]
    text = answer["choices"][0]["message"]["content"][0]["text"]
    assert text
    assert answer["usage"]["output_tokens"] > 0
    assert len(pieces) > 2
    assert text_of(pieces) == text, "temperature 0: both are the same answer"
    assert pieces[-1]["chunk"]["usage"]["output_tokens"] == answer["usage"]["output_tokens"]
    assert report["unknown"]["code"] == "NOT_FOUND"
    assert "no-such-route" in report["unknown"]["details"]


@pytest.mark.parametrize("entrance", [LOCAL, FRONT])
def test_node_gets_each_piece_when_it_is_made(stack: Stack, simulator: Provider, clients: Path, entrance: str) -> None:
    def slowly(call: Any) -> Any:
        return replace(default_reply(call, call.json), gap_s=GAP_S if call.json.get("stream") else 0)

    simulator.script = slowly
    pieces = run(clients, stack, entrance, "one two three")["pieces"]
    assert text_of(pieces) == "echo: one two three"
    arrived = [piece["at_ms"] / 1000 for piece in pieces if text_of([piece])]
    gaps = [later - earlier for earlier, later in pairwise(arrived)]
    assert len(gaps) == 3
    assert min(gaps) > GAP_S * GAP_KEPT, gaps


def test_node_calls_through_envoy_too(clients: Path, provider: Provider, tmp_path: Path) -> None:
    with Stack(tmp_path, config_for(provider), front="envoy") as stack:
        report = run(clients, stack, FRONT, "one two three")
    assert (
        report["answer"]["choices"][0]["message"]["content"][0]["text"]
        == text_of(report["pieces"])
        == "echo: one two three"
    )
    assert report["unknown"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_openais_node_sdk_does_not_multiply_the_gateways_own_retry(
    stack: Stack, simulator: Provider, clients: Path, status: int
) -> None:
    """One call whole and one streamed, at a provider that always fails; the SDK alone would make three of each."""
    simulator.script = lambda call: error_reply(call, status, "always")
    before = len(simulator.calls)
    done = subprocess.run(
        [BIN / "node", "retrying.mjs", f"{stack.url}/v1", stack.api_key],
        cwd=clients,
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(stack.ca)},
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"seen": [429 if status == 429 else 503] * 2}
    assert len(simulator.calls) - before <= 2 * 3


def test_openais_node_stream_helper_adds_up_every_recorded_stream(clients: Path, tmp_path: Path) -> None:
    """As an OpenAI client gets it from the gateway, but for those listed, whose bytes pass."""
    file = tmp_path / "streams.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in client_streams()), encoding="utf-8")
    done = subprocess.run(
        [BIN / "node", "adding.mjs", file], cwd=clients, capture_output=True, text=True, timeout=RUN_S, check=False
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, str | None] = json.loads(done.stdout)
    assert len(report) > 5
    assert not_listed({name: error for name, error in report.items() if error is not None}, LEFT_IN_NODE) == {}
