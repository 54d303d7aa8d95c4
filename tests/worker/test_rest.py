"""RestService as a front proxy calls it: HTTP in initial metadata, bodies in pieces."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody

from adapters import Task
from sidecar.domain.snapshot import Timeouts
from sidecar.v1 import rest_pb2
from tests.provider import Call, End, Provider, Reply, data, error_reply, json_reply, sse_reply
from tests.worker.running import KEY, WorkerProcess, default_routes, route, snapshot

USER = (("x-sidecar-user", "alice"),)


@dataclass
class Http:
    """An answer as the front would give it on."""

    status: int
    headers: dict[str, str]
    body: bytes
    sizes: list[int]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = self.json["error"]
        return found


async def read(call: Any) -> Http:
    headers = dict(await call.initial_metadata())
    parts = [part.data async for part in call]
    assert await call.code() is grpc.StatusCode.OK
    return Http(int(headers["x-http-status"]), headers, b"".join(parts), [len(part) for part in parts])


async def post(worker: WorkerProcess, method: str, body: bytes | dict[str, Any], metadata: Any = USER) -> Http:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = HttpBody(content_type="application/json", data=raw)
    return await read(getattr(worker.rest(), method)(request, metadata=metadata))


def chat(**members: Any) -> dict[str, Any]:
    return {"model": "chat", "messages": [{"role": "user", "content": "hello"}], **members}


def chunk(delta: dict[str, Any], **members: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None, **members}
    return data({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


DONE = b"data: [DONE]\n\n"
FINISH = chunk({}, finish_reason="stop")


async def test_every_member_the_caller_sends_keeps_its_bytes(provider: Provider) -> None:
    body = (
        b'{"messages": [{"role":"user","content":"\\u00e9 \xe2\x80\xa8"}], "seed":12345678901234567890123,\n'
        b' "temperature": 1.0e-1, "made_up": {"z":1,"a":[1.00]}, "model":"chat"}'
    )
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        answer = await post(worker, "ChatCompletions", body)
    assert answer.status == 200
    sent = provider.calls[0].body
    assert json.loads(sent)["model"] == "gpt-test"
    for member in (b"12345678901234567890123", b"1.0e-1", b'{"z":1,"a":[1.00]}', b"\\u00e9 \xe2\x80\xa8"):
        assert member in sent


async def test_the_answers_bytes_pass_unchanged(provider: Provider) -> None:
    raw = (
        b'{ "id":"x","object":"chat.completion","created":1,"model":"m", "odd": 1.00,'
        b' "choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]\n,'
        b'"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}'
    )
    provider.script = lambda call: Reply(200, (("content-type", "application/json"),), (raw,))
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        answer = await post(worker, "ChatCompletions", chat())
    assert answer.body == raw
    assert answer.headers["x-http-content-type"] == "application/json"
    assert answer.headers["x-sidecar-upstream"] == "openai"


@pytest.mark.parametrize("wanted", [True, False])
async def test_the_usage_chunk_is_asked_for_and_given_only_to_who_asked(provider: Provider, wanted: bool) -> None:
    members: dict[str, Any] = {"stream": True}
    if wanted:
        members["stream_options"] = {"include_usage": True}
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        answer = await post(worker, "ChatCompletions", chat(**members))
    assert provider.calls[0].json["stream_options"]["include_usage"] is True
    events = [line[6:] for line in answer.body.split(b"\n\n") if line]
    assert events[-1] == b"[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert any(not c["choices"] and c.get("usage") for c in chunks) is wanted


async def test_a_large_answer_leaves_in_pieces_of_64_kib(provider: Provider) -> None:
    text = "x" * 1_000_000
    message = {"role": "assistant", "content": text}
    provider.script = lambda call: json_reply(
        {"id": "1", "object": "chat.completion", "created": 1, "model": "m",
         "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    )  # fmt: skip
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        answer = await post(worker, "ChatCompletions", chat())
    assert answer.json["choices"][0]["message"]["content"] == text
    assert max(answer.sizes) <= 64 * 1024


async def test_a_large_event_leaves_in_pieces_too_and_whole(provider: Provider) -> None:
    big = chunk({"content": "y" * 1_000_000})
    provider.script = lambda call: sse_reply([big, FINISH, DONE])
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        answer = await post(worker, "ChatCompletions", chat(stream=True))
    assert answer.body == big + FINISH + DONE
    assert max(answer.sizes) <= 64 * 1024


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'""', b"{}", b"{", b'{"model":"chat"', b'{"model":"chat"} {}', b'{"model":1}', b"\xff\xfe",
     b'{"model":"chat","model":"x","messages":[]}', b"[" * 100_000, b'{"model":"chat","stream":"yes"}',
     b'{"model":"chat","messages":NaN}'],
)  # fmt: skip
async def test_malformed_bodies_are_400_in_openais_shape(provider: Provider, body: bytes) -> None:
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        answer = await post(worker, "ChatCompletions", body)
    assert answer.status == 400
    assert answer.error["type"] == "invalid_request_error"
    assert set(answer.error) == {"message", "type", "param", "code"}
    assert provider.calls == []


@pytest.mark.parametrize(
    ("status", "wanted", "kind"),
    [(401, 424, "api_error"), (403, 424, "api_error"), (404, 424, "api_error"), (400, 400, "invalid_request_error"),
     (429, 429, "rate_limit_error"), (500, 503, "api_error"), (529, 503, "api_error"), (504, 504, "api_error")],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
async def test_provider_failures_before_output_are_statuses(
    provider: Provider, status: int, wanted: int, kind: str, stream: bool
) -> None:
    provider.script = lambda call: error_reply(call, status, f"key {call.key} went wrong")
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        answer = await post(worker, "ChatCompletions", chat(stream=stream))
    assert (answer.status, answer.error["type"]) == (wanted, kind)
    assert answer.headers["x-http-content-type"] == "application/json"
    assert KEY.encode() not in answer.body
    # the kinds that pass were tried again by the gateway itself, the others are there to stay: nobody should try once more
    assert (answer.headers.get("x-should-retry") == "false") is (wanted != 400)


async def test_a_stream_that_breaks_after_output_says_so_in_band_and_has_no_done(provider: Provider) -> None:
    provider.script = lambda call: sse_reply([chunk({"content": "a"}), chunk({"content": "b"})], end=End.CUT)
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        answer = await post(worker, "ChatCompletions", chat(stream=True))
    assert answer.status == 200
    events = [line[6:] for line in answer.body.split(b"\n\n") if line]
    assert [json.loads(e)["choices"][0]["delta"]["content"] for e in events[:2]] == ["a", "b"]
    assert json.loads(events[-1])["error"]["code"] == "upstream_interrupted"
    assert b"[DONE]" not in answer.body


async def test_a_stream_that_ends_without_its_end_marker_is_no_success(provider: Provider) -> None:
    provider.script = lambda call: sse_reply([chunk({"role": "assistant", "content": ""})])
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        answer = await post(worker, "ChatCompletions", chat(stream=True))
    assert answer.status == 502
    assert answer.error["code"] == "upstream_protocol"


async def test_a_call_on_the_front_socket_without_a_user_is_refused(provider: Provider) -> None:
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        refused = await post(worker, "ChatCompletions", chat(), metadata=())
        twice = await post(worker, "ChatCompletions", chat(), metadata=(*USER, ("x-sidecar-user", "root")))
        health = await read(worker.rest().Health(rest_pb2.HealthRequest()))
    assert (refused.status, twice.status) == (401, 401)
    assert (health.status, health.json) == (200, {"status": "OK"})
    assert provider.calls == []


async def test_models_are_the_routes(provider: Provider) -> None:
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        listed = await read(worker.rest().ListModels(rest_pb2.ListModelsRequest(), metadata=USER))
        one = await read(worker.rest().GetModel(rest_pb2.GetModelRequest(id="chat"), metadata=USER))
        none = await read(worker.rest().GetModel(rest_pb2.GetModelRequest(id="nope"), metadata=USER))
    assert [each["id"] for each in listed.json["data"]] == ["chat", "completions", "embeddings"]
    assert one.json["id"] == "chat"
    assert (none.status, none.error["code"]) == (404, "model_not_found")


async def test_a_request_id_is_kept_if_harmless_and_replaced_if_not(provider: Provider) -> None:
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        kept = await post(worker, "ChatCompletions", chat(), metadata=(*USER, ("x-request-id", "abc-123-def")))
        replaced = await post(worker, "ChatCompletions", chat(), metadata=(*USER, ("x-request-id", "a b")))
    assert kept.headers["x-request-id"] == "abc-123-def"
    assert replaced.headers["x-request-id"] != "a b"


async def test_silence_after_output_is_filled_with_comments_and_bounded_by_the_idle_timeout(provider: Provider) -> None:
    gate = provider.gate()
    provider.script = lambda call: sse_reply([chunk({"content": "a"}), gate, FINISH, DONE])
    routes = default_routes(provider.base_url, Timeouts(idle_s=0.3))
    async with WorkerProcess(routes) as worker:
        answer = await post(worker, "ChatCompletions", chat(stream=True))
        await provider.until(lambda p: not p.open_connections)
    assert json.loads(answer.body.split(b"\n\n")[-2][6:])["error"]["code"] == "upstream_timeout"


async def test_no_output_in_time_is_504(provider: Provider) -> None:
    gate = provider.gate()
    provider.script = lambda call: sse_reply([chunk({"role": "assistant"}), gate])
    async with WorkerProcess(default_routes(provider.base_url, Timeouts(first_output_s=0.3))) as worker:
        answer = await post(worker, "ChatCompletions", chat(stream=True))
    assert (answer.status, answer.error["code"]) == (504, "upstream_timeout")


async def test_an_answer_beyond_the_routes_bound_is_refused(provider: Provider) -> None:
    provider.script = lambda call: json_reply({"choices": [], "pad": "x" * 200_000})
    routes = snapshot([route("chat", Task.CHAT, provider.base_url, response_bytes_max=100_000)])
    async with WorkerProcess(routes) as worker:
        answer = await post(worker, "ChatCompletions", chat())
        assert (answer.status, answer.error["code"]) == (502, "upstream_protocol")
        await provider.until(lambda p: not p.open_connections)


async def test_a_stale_connection_is_replaced_without_the_caller_noticing(provider: Provider) -> None:
    def script(call: Call) -> Reply | None:
        if len(provider.calls) == 1:
            return json_reply({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": []})
        if call.connection.calls > 1:  # the provider had closed this connection: it answers nothing on it
            return Reply(head=False, end=End.CUT)
        return json_reply({"id": "2", "object": "chat.completion", "created": 1, "model": "m", "choices": []})

    provider.script = script
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        first = await post(worker, "ChatCompletions", chat())
        second = await post(worker, "ChatCompletions", chat())
    assert (first.status, second.status) == (200, 200)
    assert second.json["id"] == "2"
    assert len(provider.calls) == 3


async def test_a_fresh_connection_that_fails_is_an_attempt_of_the_retry_budget(provider: Provider) -> None:
    provider.script = lambda call: Reply(head=False, end=End.CUT)
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        answer = await post(worker, "ChatCompletions", chat())
    assert answer.status == 503
    assert len(provider.calls) == 2


async def test_a_caller_that_leaves_before_the_first_byte_closes_the_providers_connection(provider: Provider) -> None:
    gate = provider.gate()
    provider.script = lambda call: sse_reply([gate])
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        request = HttpBody(data=json.dumps(chat(stream=True)).encode())
        call = worker.rest().ChatCompletions(request, metadata=USER)
        waiting = asyncio.ensure_future(call.initial_metadata())
        await provider.until(lambda p: p.calls)
        call.cancel()
        await asyncio.wait([waiting])
        await provider.until(lambda p: not p.open_connections, deadline_s=2)
