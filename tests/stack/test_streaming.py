"""Each piece of a stream arrives when it is made: the provider sends the next one only after the client saw the last."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc
from tests.provider import Call, Gate, Pause, Provider, Reply, default_reply
from tests.stack.stack import FRONT, LOCAL, SOCKET, Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]
WORDS = ["w1", "w2", "w3", "w4"]
PROMPT = " ".join(WORDS)
# A piece that is held back never comes: its successor waits for it.
ARRIVES_S = 5.0
# Nginx's own limits are 60 s, so are many others'.
SILENT_S = 65.0
KEEPALIVE_S = 15.0

Texts = AsyncIterator[str]
Entrance = Callable[[Stack, str, str], Texts]


class Steps:
    """A provider's answer in steps: the event with word N waits for `let(N)`."""

    def __init__(self, provider: Provider) -> None:
        self._gates = {word: provider.gate() for word in WORDS}

    def __call__(self, call: Call) -> Reply:
        reply = default_reply(call, call.json)
        parts: list[Any] = []
        for part in reply.parts:
            word = next((word for word in WORDS if isinstance(part, bytes) and f' {word}"'.encode() in part), None)
            parts += [part] if word is None else [self._gates[word], part]
        assert sum(isinstance(part, Gate) for part in parts) == len(WORDS)
        return replace(reply, parts=parts)

    def let(self, word: str) -> None:
        self._gates[word].open()


async def rest_texts(stack: Stack, route: str, prompt: str, *, http2: bool, raw: list[str] | None = None) -> Texts:
    """Texts of a streamed answer over REST. `raw` gets every line."""
    done = False
    chat = route != "completions"
    prompt_body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": 64} if chat else {"prompt": prompt}
    path = "/v1/chat/completions" if chat else "/v1/completions"
    async with stack.async_http(http2=http2, timeout_s=SILENT_S + 30) as http:
        async with http.stream("POST", path, json={"model": route, "stream": True, **prompt_body}) as response:
            assert response.status_code == 200, await response.aread()
            assert response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
            async for line in response.aiter_lines():
                if raw is not None:
                    raw.append(line)
                assert not done or not line, "nothing comes after [DONE]"
                done = done or line == "data: [DONE]"
                if line.startswith("data: {"):
                    for choice in json.loads(line.removeprefix("data: "))["choices"]:
                        text = choice["delta"].get("content") if chat else choice["text"]
                        if text:
                            yield text
    assert done


async def typed_texts(stack: Stack, route: str, prompt: str, entrance: str) -> Texts:
    """The same by typed gRPC."""
    async with stack.channel(entrance) as channel:
        service: Any = inference_pb2_grpc.InferenceServiceStub(channel)
        settings: Any = {"metadata": stack.metadata(entrance), "timeout": SILENT_S + 30}
        if route == "completions":
            request = pb.CompleteRequest(route=route, prompts=[pb.Prompt(text=prompt)])
            async for chunk in service.StreamComplete(request, **settings):
                for choice in chunk.choices:
                    if choice.text:
                        yield choice.text
            return
        user = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text=prompt)])
        async for chunk in service.StreamChat(pb.ChatRequest(route=route, messages=[user], max_tokens=64), **settings):
            for choice in chunk.choices:
                if choice.delta.content:
                    yield choice.delta.content


ENTRANCES: dict[str, Entrance] = {
    "rest-http1": lambda stack, route, prompt: rest_texts(stack, route, prompt, http2=False),
    "rest-http2": lambda stack, route, prompt: rest_texts(stack, route, prompt, http2=True),
    "grpc-front": lambda stack, route, prompt: typed_texts(stack, route, prompt, FRONT),
    "grpc-local": lambda stack, route, prompt: typed_texts(stack, route, prompt, LOCAL),
    "grpc-socket": lambda stack, route, prompt: typed_texts(stack, route, prompt, SOCKET),
}


@pytest.mark.parametrize("route", ["chat", "completions", "claude"])
@pytest.mark.parametrize("entrance", ENTRANCES)
async def test_a_piece_arrives_before_its_successor_is_sent(
    stack: Stack, simulator: Provider, entrance: str, route: str
) -> None:
    steps = Steps(simulator)
    simulator.script = steps
    async with aclosing(ENTRANCES[entrance](stack, route, PROMPT)) as texts:  # type: ignore[type-var]
        assert await asyncio.wait_for(anext(texts), ARRIVES_S) == "echo:"
        for word in WORDS:
            steps.let(word)  # and only now can it be sent
            assert await asyncio.wait_for(anext(texts), ARRIVES_S) == f" {word}"
        assert await anext(texts, None) is None


async def test_a_piece_that_is_held_back_would_be_noticed(stack: Stack, simulator: Provider) -> None:
    """The control of the test above: what was not let go does not arrive."""
    simulator.script = Steps(simulator)
    async with aclosing(ENTRANCES["rest-http1"](stack, "chat", PROMPT)) as texts:  # type: ignore[type-var]
        assert await asyncio.wait_for(anext(texts), ARRIVES_S) == "echo:"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(texts), 0.3)


async def test_many_streams_at_once_each_get_their_pieces_in_time(stack: Stack, simulator: Provider) -> None:
    """No stream waits for another: every first piece arrives while every stream is still open."""
    gate = simulator.gate()

    def script(call: Call) -> Reply:
        reply = default_reply(call, call.json)
        return replace(reply, parts=[*reply.parts[:2], gate, *reply.parts[2:]])

    simulator.script = script
    first: list[str] = []

    async def one(entrance: Entrance) -> str:
        whole = ""
        async for text in entrance(stack, "chat", PROMPT):
            if not whole:
                first.append(text)
                if len(first) == len(ENTRANCES) * 4:
                    gate.open()
            whole += text
        return whole

    answers = await asyncio.wait_for(asyncio.gather(*(one(entrance) for entrance in list(ENTRANCES.values()) * 4)), 30)
    assert set(answers) == {f"echo: {PROMPT}"}


async def test_a_stream_that_is_silent_for_65_s_survives_before_and_after_its_first_output(
    stack: Stack, simulator: Provider
) -> None:
    """Every way at once, and a whole answer that takes as long."""

    def script(call: Call) -> Reply:
        reply = default_reply(call, call.json)
        if not call.json.get("stream"):
            return replace(reply, head_delay_s=SILENT_S)
        if "early" in call.body.decode():
            return replace(reply, first_delay_s=SILENT_S)
        return replace(reply, parts=[*reply.parts[:2], Pause(SILENT_S), *reply.parts[2:]])

    simulator.script = script
    lines: dict[str, list[str]] = {}
    begun_s = time.monotonic()

    async def streamed(entrance: Entrance, prompt: str) -> tuple[str, str, float]:
        pieces = [text async for text in entrance(stack, "chat", prompt)]
        return prompt, "".join(pieces), time.monotonic() - begun_s

    async def rest(prompt: str, http2: bool) -> tuple[str, str, float]:
        raw = lines.setdefault(f"{prompt} {http2}", [])
        pieces = [text async for text in rest_texts(stack, "chat", prompt, http2=http2, raw=raw)]
        return prompt, "".join(pieces), time.monotonic() - begun_s

    async def whole() -> tuple[str, str, float]:
        async with stack.async_http(timeout_s=SILENT_S + 30) as http:
            body = {"model": "chat", "messages": [{"role": "user", "content": "whole answer"}]}
            answer = await http.post("/v1/chat/completions", json=body)
            text: str = answer.json()["choices"][0]["message"]["content"]
            return "whole answer", text, time.monotonic() - begun_s

    calls: list[Awaitable[tuple[str, str, float]]] = [whole()]
    for prompt in ("early silence", "later silence"):
        calls += [rest(prompt, http2) for http2 in (False, True)]
        calls += [streamed(ENTRANCES[entrance], prompt) for entrance in ("grpc-front", "grpc-local", "grpc-socket")]
    for prompt, text, took_s in await asyncio.gather(*calls):
        assert text == f"echo: {prompt}"
        assert took_s > SILENT_S
    for key, seen in lines.items():
        assert seen.count(": keep-alive") == int(SILENT_S // KEEPALIVE_S), key


def at_once(call: Call) -> Reply:
    """All of a streamed answer, its end included, in one write."""
    reply = default_reply(call, call.json)
    return replace(reply, parts=(b"".join(part for part in reply.parts if isinstance(part, bytes)),), framing=None)


def test_what_ends_a_stream_leaves_with_its_last_event(stack: Stack, simulator: Provider) -> None:
    """Behind Nginx: what the provider sent in one write is one TLS record at the caller, and SSL_read gives one at a time."""
    simulator.script = at_once
    url = urlsplit(stack.env["SIDECAR_URL"])
    trust = ssl.create_default_context(cafile=stack.env["SIDECAR_CA"])
    body = json.dumps({"model": "chat", "stream": True, "messages": [{"role": "user", "content": PROMPT}]}).encode()
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        f"host: {url.netloc}",
        f"authorization: Bearer {stack.env['SIDECAR_API_KEY']}",
        "content-type: application/json",
        f"content-length: {len(body)}",
    ]
    with socket.create_connection((url.hostname or "", url.port or 443), timeout=SILENT_S) as plain:
        with trust.wrap_socket(plain, server_hostname=url.hostname) as sock:
            for _ in range(3):
                sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
                records: list[bytes] = []
                while not records or not records[-1].endswith(b"\r\n0\r\n\r\n"):
                    records.append(sock.recv(65536))
                    assert records[-1], "the gateway closed the connection"
                assert b"data: [DONE]\n\n" in records[-1], "the end came alone"
