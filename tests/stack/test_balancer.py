"""`sidecar up` behind a balancer: each option by itself is tests/front/test_balancer.py; here they start together."""

from __future__ import annotations

from pathlib import Path

import grpc
import httpx
import pytest

from sidecar.v1 import inference_pb2_grpc
from tests.cli.running import sidecar
from tests.processes import free_port
from tests.provider import Provider
from tests.stack.load import chat_body, chat_request
from tests.stack.stack import Stack, config_for

pytestmark = pytest.mark.slow
FRONTS = pytest.mark.parametrize("front", ["nginx", "envoy"])


@FRONTS
async def test_a_gateway_for_a_balancer_that_ends_tls(front: str, tmp_path: Path, provider: Provider) -> None:
    plain = f"127.0.0.1:{free_port()}"
    options = ("--host", "127.0.0.1", "--host", "::1", "--http", plain, "--trusted-proxy", "127.0.0.0/8")
    with Stack(tmp_path, config_for(provider), front=front, options=options) as stack:
        assert f"http://{plain}" in stack.process.output
        key = {"authorization": f"Bearer {stack.api_key}"}
        async with httpx.AsyncClient(base_url=f"http://{plain}", headers=key) as http:
            forwarded = {"x-forwarded-for": "203.0.113.7", "x-forwarded-prefix": "/llm"}
            answer = await http.post("/v1/chat/completions", json=chat_body(), headers=forwarded)
            assert answer.status_code == 200
            assert 'href="/llm/docs"' in (await http.get("/", headers=forwarded)).text
            assert 'href="docs"' in (await http.get("/", headers={"x-forwarded-prefix": "//evil.example"})).text
        async with grpc.aio.insecure_channel(plain) as channel:
            stub = inference_pb2_grpc.InferenceServiceStub(channel)
            typed = await stub.Chat(chat_request(), metadata=tuple(key.items()))
            assert typed.choices[0].message.content[0].text
        async with httpx.AsyncClient(base_url=f"https://[::1]:{stack.port}", headers=key, verify=stack.trust()) as http:
            assert (await http.get("/v1/models")).status_code == 200
        assert stack.stop() == 0


@FRONTS
def test_a_gateway_behind_proxy_protocol_finds_out_that_it_serves(
    front: str, tmp_path: Path, provider: Provider
) -> None:
    options = ("--trusted-proxy", "127.0.0.1", "--proxy-protocol")
    with Stack(tmp_path, config_for(provider), front=front, options=options) as stack:
        assert stack.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--http", "0.0.0.0:0"), "has no TLS"),
        (("--trusted-proxy", "10.0.0.1/8"), "Did you mean 10.0.0.0/8?"),
        (("--proxy-protocol",), "requires --trusted-proxy"),
        (("--front", "envoy", "--calls-per-client", "5"), "requires Nginx"),
    ],
)
def test_what_cannot_be_is_one_line(arguments: tuple[str, ...], why: str, tmp_path: Path) -> None:
    done = sidecar("up", "--state-dir", str(tmp_path / "state"), *arguments)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert why in line
