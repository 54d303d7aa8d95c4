"""MLflow's paths at a worker, as a front proxy calls them: dialects, lists, limits, errors."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from google.api.httpbody_pb2 import HttpBody

from adapters import Task
from sidecar.domain.snapshot import Consumer, Snapshot
from sidecar.v1 import rest_pb2
from tests.provider import Provider, Reply, error_reply
from tests.worker.running import WorkerProcess, default_routes, route, snapshot
from tests.worker.test_rest import USER, Http, read

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}
REQUESTS = {
    "QueryMlflowRoute": rest_pb2.QueryMlflowRouteRequest,
    "QueryMlflowEndpoint": rest_pb2.QueryMlflowEndpointRequest,
    "InvokeMlflow": rest_pb2.InvokeMlflowRequest,
}


def metadata(agent: str | None = None, user: str = "alice") -> tuple[tuple[str, str], ...]:
    """With the client's user-agent as a front passes it whose gRPC library has one of its own."""
    return (("x-sidecar-user", user), *((("x-user-agent", agent),) if agent else ()))


def python_client(version: str) -> tuple[tuple[str, str], ...]:
    return metadata(f"mlflow-python-client/{version}")


async def query(
    worker: WorkerProcess, name: str, body: dict[str, Any] | bytes, rpc: str = "QueryMlflowRoute", meta: Any = USER
) -> Http:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = REQUESTS[rpc](name=name, body=HttpBody(content_type="application/json", data=raw))
    return await read(getattr(worker.rest(), rpc)(request, metadata=meta))


async def get(worker: WorkerProcess, rpc: str, request: Any, meta: Any = USER) -> Http:
    return await read(getattr(worker.rest(), rpc)(request, metadata=meta))


@pytest.fixture
async def worker(provider: Provider) -> AsyncIterator[WorkerProcess]:
    routes = default_routes(provider.base_url).routes.values()
    b = route("b", Task.CHAT, provider.base_url, mlflow_dialect="b", mlflow_limit=(10, "minute", None))
    async with WorkerProcess(snapshot([*routes, b])) as running:
        yield running


def is_a(answer: Http) -> bool:
    assert answer.status == 200, answer.body
    assert ("candidates" in answer.json) != ("choices" in answer.json)
    return "candidates" in answer.json


async def test_clients_up_to_2_8_get_dialect_a_on_any_route_and_later_ones_b(worker: WorkerProcess) -> None:
    for name in ("chat", "b"):
        for version in ("2.5.0", "2.6.0", "2.7.1", "2.8.1"):
            assert is_a(await query(worker, name, CHAT, meta=python_client(version))), version
        for version in ("2.9.0", "2.10.0", "2.22.0", "3.0.0", "3.17.2"):
            assert not is_a(await query(worker, name, CHAT, meta=python_client(version))), version


async def test_anybody_else_is_told_by_the_body_and_then_by_the_route(worker: WorkerProcess) -> None:
    for agent in (None, "curl/8", "mlflow-python-client/2.4.0", "mlflow-python-client/x.y"):
        meta = metadata(agent)
        assert is_a(await query(worker, "chat", CHAT, meta=meta)), agent
        assert not is_a(await query(worker, "b", CHAT, meta=meta)), agent
        assert is_a(await query(worker, "b", {**CHAT, "candidate_count": 1}, meta=meta)), agent
        assert not is_a(await query(worker, "chat", {**CHAT, "n": 1}, meta=meta)), agent
        assert not is_a(await query(worker, "chat", {**CHAT, "stream": False}, meta=meta)), agent


async def test_dialect_a_asks_the_provider_in_its_words_and_scale(worker: WorkerProcess, provider: Provider) -> None:
    body = {**CHAT, "candidate_count": 2, "temperature": 0.4, "stop": ["x"], "max_tokens": 5, "made_up": [1]}
    answer = await query(worker, "chat", body)
    assert provider.calls[-1].json == {
        **CHAT, "model": "gpt-test", "n": 2, "temperature": 0.8, "stop": ["x"], "max_tokens": 5, "made_up": [1]
    }  # fmt: skip
    assert [each["message"]["content"] for each in answer.json["candidates"]] == ["echo: hello"] * 2
    assert answer.json["metadata"]["route_type"] == "llm/v1/chat"


async def test_nothing_is_asked_that_the_caller_did_not(worker: WorkerProcess, provider: Provider) -> None:
    await query(worker, "chat", CHAT)
    assert provider.calls[-1].json == {"model": "gpt-test", **CHAT}


async def test_completions_and_embeddings_in_dialect_a(worker: WorkerProcess) -> None:
    answer = await query(worker, "completions", {"prompt": "a b"})
    assert answer.json["candidates"] == [{"text": "echo: a b", "metadata": {"finish_reason": "stop"}}]
    vectors = await query(worker, "embeddings", {"text": ["a", "b"]})
    assert len(vectors.json["embeddings"]) == 2
    assert vectors.json["metadata"]["route_type"] == "llm/v1/embeddings"


async def test_dialects_b_and_c_reach_an_openai_provider_byte_for_byte(
    worker: WorkerProcess, provider: Provider
) -> None:
    raw = b'{"messages": [{"role":"user","content":"\\u00e9"}], "seed":12345678901234567890123, "temperature": 1.0e-1}'
    for rpc in ("QueryMlflowEndpoint", "InvokeMlflow"):
        answer = await query(worker, "chat", raw, rpc)
        assert answer.json["object"] == "chat.completion"
        sent = provider.calls[-1].body
        assert json.loads(sent)["model"] == "gpt-test"
        for member in (b"\\u00e9", b"12345678901234567890123", b"1.0e-1"):
            assert member in sent


async def test_dialect_b_streams_and_ends_with_done(worker: WorkerProcess) -> None:
    for rpc in REQUESTS:
        answer = await query(worker, "chat", {**CHAT, "stream": True}, rpc)
        assert answer.headers["x-http-content-type"].startswith("text/event-stream")
        events = [event for event in answer.body.split(b"\n\n") if event]
        assert events[-1] == b"data: [DONE]"
        pieces = [json.loads(event[6:])["choices"][0]["delta"].get("content", "") for event in events[:-1]]
        assert "".join(pieces) == "echo: hello"


async def test_a_stream_that_a_2_8_client_asks_for_is_refused_by_name(worker: WorkerProcess) -> None:
    answer = await query(worker, "chat", {**CHAT, "stream": True}, meta=python_client("2.8.1"))
    assert answer.status == 422
    assert "'stream'" in answer.json["detail"]


async def test_what_a_request_violates_is_a_list_with_422(worker: WorkerProcess, provider: Provider) -> None:
    for rpc in ("QueryMlflowRoute", "QueryMlflowEndpoint"):
        answer = await query(worker, "chat", {"temperature": 9}, rpc)
        assert answer.status == 422
        assert [each["loc"] for each in answer.json["detail"]] == [["body", "temperature"], ["body", "messages"]]
    assert provider.calls == []


async def test_dialect_c_says_it_with_400_and_a_text(worker: WorkerProcess) -> None:
    answer = await query(worker, "chat", {"input": "a"}, "InvokeMlflow")
    assert (answer.status, answer.json) == (400, {"detail": "messages: Field required"})
    gone = await query(worker, "nope", CHAT, "InvokeMlflow")
    assert (gone.status, gone.json["detail"]["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


async def test_a_route_that_is_not_there_is_404(worker: WorkerProcess) -> None:
    for rpc in ("QueryMlflowRoute", "QueryMlflowEndpoint"):
        answer = await query(worker, "nope", CHAT, rpc)
        assert (answer.status, answer.json) == (404, {"detail": 'There is no route "nope".'})


FAILURES: dict[str, tuple[int, int]] = {
    "the provider's words": (400, 400),
    "wrong key": (401, 424),
    "no such model": (404, 424),
    "too many": (429, 424),
    "it is down": (500, 504),
    "no json": (200, 424),
}


async def test_no_permanent_failure_has_a_status_that_mlflows_clients_repeat(
    provider: Provider, worker: WorkerProcess
) -> None:
    page = Reply(200, (("content-type", "text/html"),), (b"<html>",))
    for theirs, ours in FAILURES.values():
        provider.script = lambda call, status=theirs: page if status == 200 else error_reply(call, status, "no")
        for rpc in REQUESTS:
            answer = await query(worker, "chat", CHAT, rpc)
            assert (answer.status, set(answer.json)) == (ours, {"detail"}), rpc
            assert isinstance(answer.json["detail"], str)


async def test_a_route_and_an_endpoint_as_clients_read_them(worker: WorkerProcess) -> None:
    found = await get(worker, "GetMlflowRoute", rest_pb2.GetMlflowRouteRequest(name="chat"))
    assert found.json == {
        "name": "chat",
        "route_type": "llm/v1/chat",
        "model": {"name": "gpt-test", "provider": "openai"},
        "route_url": "/gateway/chat/invocations",
        "limit": None,
    }
    found = await get(worker, "GetMlflowEndpoint", rest_pb2.GetMlflowEndpointRequest(name="b"))
    assert found.json == {
        "name": "b",
        "endpoint_type": "llm/v1/chat",
        "model": {"name": "gpt-test", "provider": "openai"},
        "endpoint_url": "/endpoints/b/invocations",
        "limit": {"calls": 10, "key": None, "renewal_period": "minute"},
    }


async def test_a_name_that_no_route_has_is_said_as_the_reference_says_it(worker: WorkerProcess) -> None:
    for rpc, what in (("GetMlflowRoute", "route"), ("GetMlflowEndpoint", "endpoint")):
        answer = await get(worker, rpc, getattr(rest_pb2, f"{rpc}Request")(name="nope"))
        text = f"The {what} 'nope' is not present or active on the server. Please verify the {what} name."
        assert (answer.status, answer.json) == (404, {"detail": text})


def token(index: Any) -> str:
    return base64.b64encode(json.dumps({"index": index}).encode()).decode()


async def test_6001_routes_are_three_pages_in_the_order_of_the_config(provider: Provider) -> None:
    names = [f"r{number:04}" for number in range(6001)]
    async with WorkerProcess(snapshot(route(name, Task.CHAT, provider.base_url) for name in names)) as worker:
        for rpc, key in (("ListMlflowRoutes", "routes"), ("ListMlflowEndpoints", "endpoints")):
            pages = [
                await get(worker, rpc, getattr(rest_pb2, f"{rpc}Request")(page_token=each))
                for each in ("", token(3000), token(6000))
            ]
            assert [each["name"] for page in pages for each in page.json[key]] == names
            assert [page.json["next_page_token"] for page in pages] == [token(3000), token(6000), None]


async def test_a_page_token_that_was_not_given_out_is_400(worker: WorkerProcess) -> None:
    odd = [token(index) for index in (-1, "1", 1.5, True, [1], None)]
    for bad in ("x", "====", *odd, "MQ==", "bnVsbA==", "W" * 1000):
        answer = await get(worker, "ListMlflowRoutes", rest_pb2.ListMlflowRoutesRequest(page_token=bad))
        assert (answer.status, answer.json) == (400, {"detail": "Invalid page token."}), bad
    behind = rest_pb2.ListMlflowRoutesRequest(page_token=token(10**9))
    assert (await get(worker, "ListMlflowRoutes", behind)).json == {"routes": [], "next_page_token": None}


SEEN = {"2.5.0": {"o", "z"}, "2.6.0": {"o", "z", "s"}, "2.7.0": {"o", "z", "s", "v"}, "2.22.0": {"o", "z", "s", "v"}}


async def test_old_clients_see_only_providers_that_they_can_read(provider: Provider) -> None:
    providers = {"o": "openai", "z": "azure", "s": "mlflow-model-serving", "v": "vllm"}
    routes = [route(name, Task.CHAT, provider.base_url, provider=each) for name, each in providers.items()]
    async with WorkerProcess(snapshot(routes)) as worker:
        for version, seen in SEEN.items():
            listed = await get(worker, "ListMlflowRoutes", rest_pb2.ListMlflowRoutesRequest(), python_client(version))
            assert {each["name"]: each["model"]["provider"] for each in listed.json["routes"]} == {
                name: {"azure": "openai"}.get(providers[name], providers[name]) for name in seen
            }


async def test_a_weighted_route_shows_its_destinations(provider: Provider) -> None:
    plain = route("plain", Task.CHAT, provider.base_url)
    upstream = plain.upstreams[0]
    both = (replace(upstream, name="one", weight=3), replace(upstream, name="two", weight=1))
    split = replace(plain, name="split", upstreams=both, strategy="weighted")
    async with WorkerProcess(snapshot([plain, split])) as worker:
        found = await get(worker, "GetMlflowTrafficRoute", rest_pb2.GetMlflowTrafficRouteRequest(name="split"))
        other = await get(worker, "GetMlflowTrafficRoute", rest_pb2.GetMlflowTrafficRouteRequest(name="plain"))
    assert found.json == {
        "name": "split",
        "task_type": "llm/v1/chat",
        "destinations": [{"name": "one", "traffic_percentage": 75}, {"name": "two", "traffic_percentage": 25}],
        "routing_strategy": "TRAFFIC_SPLIT",
    }
    assert other.status == 404


async def test_what_a_consumer_may_not_call_is_not_there_for_it(provider: Provider) -> None:
    whole = default_routes(provider.base_url)
    consumers = (Consumer("bob", users=("bob",), allow=("chat",)), Consumer("rest", users=("*",)))
    async with WorkerProcess(Snapshot(whole.routes, whole.hash, consumers=consumers)) as worker:
        bob = metadata(user="bob")
        for rpc, key in (("ListMlflowRoutes", "routes"), ("ListMlflowEndpoints", "endpoints")):
            listed = await get(worker, rpc, getattr(rest_pb2, f"{rpc}Request")(), bob)
            assert [each["name"] for each in listed.json[key]] == ["chat"]
        answers = [
            [
                await get(worker, "GetMlflowRoute", rest_pb2.GetMlflowRouteRequest(name=name), bob),
                await get(worker, "GetMlflowEndpoint", rest_pb2.GetMlflowEndpointRequest(name=name), bob),
                await get(worker, "GetMlflowLimits", rest_pb2.GetMlflowLimitsRequest(route=name), bob),
                *[await query(worker, name, {"prompt": "a"}, rpc, bob) for rpc in REQUESTS],
            ]
            for name in ("completions", "nonexistent")
        ]
    hidden, absent = ([(each.status, each.body.replace(name, b"X")) for each in row]
                      for row, name in zip(answers, (b"completions", b"nonexistent"), strict=True))  # fmt: skip
    assert hidden == absent
    assert {status for status, _ in hidden} == {404}
    assert provider.calls == []


async def test_limits_are_read_by_callers_and_changed_by_admins_only(worker: WorkerProcess) -> None:
    none = await get(worker, "GetMlflowLimits", rest_pb2.GetMlflowLimitsRequest(route="chat"))
    assert (none.status, none.json) == (200, {"limits": []})
    body = {"route": "chat", "limits": [{"calls": 5, "renewal_period": "minute", "key": "user"}]}
    refused = await get(worker, "SetMlflowLimits", HttpBody(data=json.dumps(body).encode()))
    assert (refused.status, set(refused.json)) == (403, {"detail"})


async def test_routes_are_made_and_removed_by_admins_only(worker: WorkerProcess) -> None:
    spec = {"name": "n", "route_type": "llm/v1/chat", "model": {"name": "m", "provider": "openai"}}
    made = await get(worker, "CreateMlflowRoute", HttpBody(data=json.dumps(spec).encode()))
    gone = await get(worker, "DeleteMlflowRoute", rest_pb2.DeleteMlflowRouteRequest(name="chat"))
    assert (made.status, gone.status) == (403, 403)
    broken = await get(worker, "CreateMlflowRoute", HttpBody(data=b"{"))
    assert broken.status == 403  # the role comes before the body
