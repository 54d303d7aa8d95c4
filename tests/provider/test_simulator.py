"""The simulator's behaviour, seen through raw sockets and an independent client."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from typing import Any

import aiohttp
import pytest

from tests.processes import RunningProcess
from tests.provider import End, Gate, Provider, Reply, data, error_reply, sse_reply

QUESTION = {"model": "m", "messages": [{"role": "user", "content": "hi there"}]}


def request_bytes(body: dict[str, Any], path: str = "/v1/chat/completions") -> bytes:
    text = json.dumps(body).encode()
    return b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), len(text), text)


def exchange(provider: Provider, body: dict[str, Any]) -> tuple[bytes, Exception | None]:
    """Returns all bytes until the provider closes, and the socket error that ended them, if any."""
    received = b""
    with socket.create_connection(("127.0.0.1", provider.port), timeout=5) as wire:
        wire.sendall(request_bytes(body))
        try:
            while piece := wire.recv(65536):
                received += piece
        except ConnectionError as failure:
            return received, failure
    return received, None


async def post(url: str, body: dict[str, Any]) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        return response.status, await response.read()


async def test_a_chat_is_answered_with_the_users_words_and_usage(provider: Provider) -> None:
    status, body = await post(f"{provider.base_url}/chat/completions", QUESTION)
    answer = json.loads(body)
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "echo: hi there")
    assert answer["usage"]["total_tokens"] > 0
    assert provider.calls[0].json == QUESTION


async def test_a_streamed_chat_has_a_usage_chunk_only_when_asked(provider: Provider) -> None:
    url = f"{provider.base_url}/chat/completions"
    _, plain = await post(url, {**QUESTION, "stream": True})
    _, with_usage = await post(url, {**QUESTION, "stream": True, "stream_options": {"include_usage": True}})
    assert b"prompt_tokens" not in plain
    assert b'"choices":[],"usage":{"prompt_tokens"' in with_usage
    assert plain.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("path", ["completions", "embeddings", "messages"])
async def test_every_task_has_a_healthy_answer(provider: Provider, path: str) -> None:
    body = {**QUESTION, "prompt": "hi", "input": ["a", "b"]}
    for stream in (False, True):
        status, answer = await post(f"{provider.base_url}/{path}", {**body, "stream": stream})
        assert status == 200
        assert answer


async def test_embeddings_agree_in_both_encodings(provider: Provider) -> None:
    import base64
    import struct

    url = f"{provider.base_url}/embeddings"
    numbers = json.loads((await post(url, {"model": "m", "input": "a"}))[1])["data"][0]["embedding"]
    packed = json.loads((await post(url, {"model": "m", "input": "a", "encoding_format": "base64"}))[1])
    assert list(struct.unpack("<8f", base64.b64decode(packed["data"][0]["embedding"]))) == numbers


@pytest.mark.parametrize("cut_at", [0, 1, 10, 100])
def test_a_cut_body_stops_at_that_very_byte(provider: Provider, cut_at: int) -> None:
    received, failure = exchange(provider, {**QUESTION, "sim": {"end": "cut", "cut_at": cut_at}})
    head, _, body = received.partition(b"\r\n\r\n")
    assert failure is None
    assert len(body) == cut_at
    assert b"content-length" in head
    assert provider.calls[0].outcome == "cut"


def test_a_reset_arrives_as_a_reset_and_no_byte_before_it(provider: Provider) -> None:
    received, failure = exchange(provider, {**QUESTION, "sim": "end=rst,head=0"})
    assert received == b""
    assert isinstance(failure, ConnectionResetError)


def test_garbage_follows_whole_events(provider: Provider) -> None:
    received, _ = exchange(provider, {**QUESTION, "stream": True, "sim": "end=garbage,after=2"})
    assert received.count(b"data: ") == 2
    assert received.endswith(b"\r\n\x00")


def test_a_silent_close_leaves_the_answer_whole_and_unannounced(provider: Provider) -> None:
    received, failure = exchange(provider, {**QUESTION, "sim": "close=silent"})
    assert failure is None
    assert b"connection: close" not in received
    assert json.loads(received.partition(b"\r\n\r\n")[2])["object"] == "chat.completion"
    assert provider.connections[0].closed_by == "provider"


async def test_a_peer_that_leaves_a_stalled_stream_is_recorded_with_the_time(provider: Provider) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", provider.port)
    writer.write(request_bytes({**QUESTION, "stream": True, "sim": "end=stall,after=2"}))
    await reader.readuntil(b"data: ")
    await provider.until(lambda p: p.calls[0].outcome == "stall")
    left_s = time.monotonic()
    writer.close()
    await provider.until(lambda p: p.calls[0].outcome == "peer_closed")
    assert provider.calls[0].peer_closed_s is not None
    assert 0 <= provider.calls[0].peer_closed_s - left_s < 1
    assert provider.connections[0].closed_by == "peer"


async def test_a_gate_holds_the_rest_of_a_stream(provider: Provider) -> None:
    gate = provider.gate()
    provider.script = lambda call: sse_reply([data({"n": 1}), gate, data({"n": 2})])
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{provider.base_url}/chat/completions", json={}) as got,
    ):
        first = await got.content.readuntil(b"\n\n")
        await provider.until(lambda p: gate.waiting)
        assert first == b'data: {"n":1}\n\n'
        assert len(provider.calls[0].sent) == 1
        gate.open()
        assert await got.read() == b'data: {"n":2}\n\n'


async def test_keep_alive_carries_several_calls_on_one_connection(provider: Provider) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(3):
            async with session.post(f"{provider.base_url}/chat/completions", json=QUESTION) as got:
                await got.read()
    assert [connection.calls for connection in provider.connections] == [3]


async def test_faults_with_times_heal(provider: Provider) -> None:
    body = {**QUESTION, "sim": "status=503,times=2,retry_after=1"}
    statuses = [(await post(f"{provider.base_url}/chat/completions", body))[0] for _ in range(3)]
    assert statuses == [503, 503, 200]


async def test_a_401_can_repeat_the_key(provider: Provider) -> None:
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer canary-1"}) as session:
        async with session.post(f"{provider.base_url}/chat/completions", json={"model": "sim:echo_key=1"}) as got:
            assert (got.status, b"canary-1" in await got.read()) == (401, True)


async def test_an_unknown_wish_is_refused(provider: Provider) -> None:
    status, body = await post(f"{provider.base_url}/chat/completions", {**QUESTION, "model": "sim:tokenz=1"})
    assert (status, b"tokenz" in body) == (400, True)


@pytest.mark.parametrize("sim", ["gzip=1,tokens=3", "slice=3,tokens=3", "framing=close,tokens=3", "tokens=3"])
async def test_the_content_is_the_same_however_it_is_carried(provider: Provider, sim: str) -> None:
    _, body = await post(f"{provider.base_url}/chat/completions", {**QUESTION, "stream": True, "sim": sim})
    assert body.count(b"data: ") == 6
    assert b" tok2" in body


@pytest.mark.parametrize("wish", ["content_bytes=33554432", "event_bytes=1048576"])
async def test_big_answers_arrive_whole(provider: Provider, wish: str) -> None:
    size = int(wish.partition("=")[2])
    _, body = await post(f"{provider.base_url}/chat/completions", {**QUESTION, "stream": "event" in wish, "sim": wish})
    assert size <= len(body) < size + 4096


async def test_error_bodies_come_in_the_format_of_the_path(provider: Provider) -> None:
    provider.script = lambda call: error_reply(call, 429, "slow down", headers=(("retry-after", "2"),))
    _, openai = await post(f"{provider.base_url}/chat/completions", QUESTION)
    _, anthropic = await post(f"{provider.base_url}/messages", QUESTION)
    assert json.loads(openai)["error"]["message"] == "slow down"
    assert json.loads(anthropic)["type"] == "error"


async def test_tls_is_trusted_by_its_own_ca_only(tls_provider: Provider) -> None:
    url = f"{tls_provider.base_url}/chat/completions"
    trusting = ssl.create_default_context(cafile=str(tls_provider.ca_file))
    async with aiohttp.ClientSession() as session, session.post(url, json=QUESTION, ssl=trusting) as got:
        assert got.status == 200
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.post(url, json=QUESTION)


async def test_a_peer_that_leaves_over_tls_is_recorded(tls_provider: Provider) -> None:
    trusting = ssl.create_default_context(cafile=str(tls_provider.ca_file))
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", tls_provider.port, ssl=trusting, server_hostname="localhost"
    )
    writer.write(request_bytes({**QUESTION, "stream": True, "sim": "end=stall,after=1"}))
    await reader.readuntil(b"data: ")
    writer.close()
    await tls_provider.until(lambda p: p.calls[0].outcome == "peer_closed")


async def test_a_broken_script_is_a_failed_call_and_not_a_hang(provider: Provider) -> None:
    def broken(call: Any) -> Reply:
        raise ValueError("typo")

    provider.script = broken
    status, body = await post(f"{provider.base_url}/chat/completions", QUESTION)
    assert (status, b"typo" in body) == (500, True)


async def test_two_servers_cannot_share_a_port(provider: Provider) -> None:
    with pytest.raises(OSError, match="in use"):
        Provider(port=provider.port).__enter__()


async def test_the_half_close_is_seen_as_eof(provider: Provider) -> None:
    provider.script = lambda call: Reply(parts=(b"abcdef",), end=End.HALF_CLOSE, cut_at=3)
    reader, writer = await asyncio.open_connection("127.0.0.1", provider.port)
    writer.write(request_bytes(QUESTION))
    assert (await reader.read()).endswith(b"\r\n\r\nabc")
    assert provider.connections[0].is_open
    writer.close()
    await provider.until(lambda p: not p.open_connections)


def test_waiting_has_a_deadline_and_says_what_was_seen(provider: Provider) -> None:
    with pytest.raises(AssertionError, match="0 connections"):
        provider.wait_for(lambda p: p.calls, deadline_s=0.05)


async def test_the_blocking_wait_refuses_to_run_on_a_loop(provider: Provider) -> None:
    with pytest.raises(RuntimeError, match="until"):
        provider.wait_for(lambda p: True)


async def test_it_runs_as_a_process_with_its_record_and_gates_over_http() -> None:
    with RunningProcess.python("-m", "tests.provider") as process:
        url = process.wait_for_line(r"at (http://\S+)/v1")[1]
        held = asyncio.create_task(post(f"{url}/v1/chat/completions", {**QUESTION, "stream": True, "sim": "gate=g"}))
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"{url}/_sim/calls") as got:
                    calls = (await got.json())["calls"]
                if calls and calls[0]["head_sent_s"]:
                    break
            assert not calls[0]["sent"]
            async with session.post(f"{url}/_sim/release?gate=g") as released:
                assert released.status == 200
        assert (await held)[0] == 200
        assert process.stop() == 0


def test_a_gate_is_one_per_name(provider: Provider) -> None:
    assert isinstance(provider.gate("a"), Gate)
    assert provider.gate("a") is provider.gate("a")
    assert provider.gate() is not provider.gate()
