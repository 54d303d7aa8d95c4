"""Routes by alias and by wildcard, through both services of a real worker: who answers, who may call, what is counted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest

from adapters import Task
from sidecar.domain.snapshot import Consumer, Limit, Price, Route, Snapshot, Upstream
from sidecar.domain.wildcard import for_rest, rest_of
from sidecar.gateway.route_names import ANSWERED_MAX, RouteNames
from sidecar.spend.prices import table_price, with_prices
from sidecar.telemetry.metrics import UNKNOWN_ROUTE
from sidecar.v1 import inference_pb2, inference_pb2_grpc, rest_pb2, routes_pb2, routes_pb2_grpc
from tests.provider import Provider
from tests.worker.running import WorkerProcess, route, snapshot
from tests.worker.test_rest import chat, post, read

NOW_S = 1_790_000_000.0
CONSUMERS = (
    Consumer("whole", ("whole",)),
    Consumer("some", ("some",), allow=("openai/gpt-4o", "openai/gpt-5*", "plain")),
    Consumer("denied", ("denied",), deny=("openai/o1*", "openai/exact", "plain")),
)


def _routes(base_url: str) -> Snapshot:
    made = (
        route("plain", Task.CHAT, base_url, model="plain-model", aliases=("other", "openai/aliased")),
        route("openai/exact", Task.CHAT, base_url, model="exact-model"),
        route("openai/*", Task.CHAT, base_url, model="*"),
        route("openai/vendor/*", Task.CHAT, base_url, model="vendor-*"),
        route("llama3:8b", Task.CHAT, base_url, model="llama", limits=(Limit("requests", 2, 3600),)),
        route("few/*", Task.CHAT, base_url, model="*", limits=(Limit("requests", 2, 3600),)),
    )
    return replace(snapshot(made), consumers=CONSUMERS)


@pytest.fixture
async def worker(provider: Provider) -> AsyncIterator[WorkerProcess]:
    async with WorkerProcess(_routes(provider.base_url), metrics=True) as running:
        yield running


def _user(name: str) -> tuple[tuple[str, str], ...]:
    return (("x-sidecar-user", name),)


async def _ask(worker: WorkerProcess, name: str, user: str = "whole") -> int:
    answer = await post(worker, "ChatCompletions", chat(model=name), _user(user))
    return answer.status


def _route_service(worker: WorkerProcess) -> Any:
    return routes_pb2_grpc.RouteServiceStub(worker.front_channel())


def _models(provider: Provider) -> list[str]:
    return [json.loads(call.body)["model"] for call in provider.calls]


async def test_a_name_finds_its_route_then_an_alias_then_the_most_specific_wildcard(
    worker: WorkerProcess, provider: Provider
) -> None:
    names = ["plain", "other", "openai/aliased", "openai/exact", "openai/gpt-4o", "openai/vendor/x:1", "openai/a/b"]
    assert [await _ask(worker, name) for name in names] == [200] * len(names)
    models = ["plain-model", "plain-model", "plain-model", "exact-model", "gpt-4o", "vendor-x:1", "a/b"]
    assert _models(provider) == models


NO_MODELS = ("*", "", "../x", "a b", "x" * 300, "a//b", "a/.b", "a/", "\u00e9", "a\nb", "%2e")


async def test_what_cannot_be_a_models_name_finds_nothing(worker: WorkerProcess, provider: Provider) -> None:
    assert {rest: await _ask(worker, f"openai/{rest}") for rest in NO_MODELS} == dict.fromkeys(NO_MODELS, 404)
    assert await _ask(worker, "openai") == 404
    assert provider.calls == []


async def test_typed_calls_and_streams_find_the_same(worker: WorkerProcess, provider: Provider) -> None:
    message = inference_pb2.Message(role=inference_pb2.ROLE_USER, content=[inference_pb2.ContentPart(text="hi")])
    stub: Any = inference_pb2_grpc.InferenceServiceStub(worker.front_channel())
    for name in ("other", "openai/gpt-5"):
        request = inference_pb2.ChatRequest(route=name, messages=[message])
        await stub.Chat(request, metadata=_user("whole"))
        async for _ in stub.StreamChat(request, metadata=_user("whole")):
            pass
    assert _models(provider) == ["plain-model"] * 2 + ["gpt-5"] * 2
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Chat(inference_pb2.ChatRequest(route="openai/*", messages=[message]), metadata=_user("whole"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


RULES = [
    ("some", "openai/gpt-4o", 200),
    ("some", "openai/gpt-5-mini", 200),
    ("some", "openai/o1", 404),
    ("some", "openai/exact", 404),
    ("some", "other", 200),
    ("denied", "openai/gpt-4o", 200),
    ("denied", "openai/o1-mini", 404),
    ("denied", "openai/exact", 404),  # the wildcard does not stand in for it
    ("denied", "other", 404),
    ("denied", "openai/aliased", 404),  # nor for an alias of a route that is kept from it
]


async def test_rules_of_consumers_hold_for_each_name_that_a_wildcard_answers(worker: WorkerProcess) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode()
    for user, name, status in RULES:
        assert await _ask(worker, name, user) == status, (user, name)
        request = rest_pb2.QueryMlflowEndpointRequest(name=name)
        request.body.data = body
        answer = await read(worker.rest().QueryMlflowEndpoint(request, metadata=_user(user)))
        assert answer.status == status, (user, name)


async def test_limits_and_labels_are_the_wildcards(worker: WorkerProcess) -> None:
    assert [await _ask(worker, f"few/model-{number}") for number in range(4)] == [200, 200, 429, 429]
    await _ask(worker, "other")
    await _ask(worker, "nothing/like/it")
    labels = {sample.labels["route"] for sample in worker.samples("sidecar_requests_total")}
    assert labels == {"few/*", "plain", UNKNOWN_ROUTE}


async def test_lists_show_wildcards_and_what_an_allow_names_of_one(worker: WorkerProcess) -> None:
    async def models(user: str) -> list[str]:
        answer = await read(worker.rest().ListModels(rest_pb2.ListModelsRequest(), metadata=_user(user)))
        return [each["id"] for each in answer.json["data"]]

    every = ["plain", "other", "openai/aliased", "openai/exact", "openai/*", "openai/vendor/*", "llama3:8b", "few/*"]
    assert await models("whole") == every
    assert await models("some") == ["plain", "other", "openai/aliased", "openai/gpt-4o"]
    listed = await _route_service(worker).ListRoutes(routes_pb2.ListRoutesRequest(), metadata=_user("some"))
    assert [each.name for each in listed.routes] == ["plain", "openai/gpt-4o"]


async def test_reading_a_route_by_any_of_its_names_answers_that_name(worker: WorkerProcess) -> None:
    for name, model in (("other", "plain-model"), ("openai/gpt-9", "gpt-9"), ("openai/*", "*")):
        got = await _route_service(worker).GetRoute(routes_pb2.GetRouteRequest(name=name), metadata=_user("whole"))
        assert (got.route.name, got.route.model.name) == (name, model)
        one = await read(worker.rest().GetModel(rest_pb2.GetModelRequest(id=name), metadata=_user("whole")))
        assert one.json["id"] == name
        request = rest_pb2.GetMlflowEndpointRequest(name=name)
        endpoint = (await read(worker.rest().GetMlflowEndpoint(request, metadata=_user("whole")))).json
        assert (endpoint["name"], endpoint["endpoint_url"]) == (name, f"/endpoints/{name}/invocations")


def test_what_is_remembered_of_names_is_bounded() -> None:
    names = RouteNames(_routes("http://127.0.0.1:1/v1"))
    for number in range(3 * ANSWERED_MAX):
        assert names.answered(f"openai/m{number}") is not None
    first = names.answered("openai/m1")
    assert first is names.answered("openai/m1")
    assert names.cache_size < 2 * ANSWERED_MAX


def test_a_deployment_in_the_url_gets_the_rest_too() -> None:
    upstream = Upstream("azure", "*", "https://a/openai/deployments/%2A", None)
    rest = rest_of("azure/gpt:4/o", "azure/*")
    assert rest == "gpt:4/o"
    (made,) = for_rest(Route("azure/*", Task.CHAT, (upstream,)), rest).upstreams
    assert (made.model, made.base_url) == ("gpt:4/o", "https://a/openai/deployments/gpt%3A4%2Fo")


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o"),
        ("openai", "gpt-4o-mini-2024-07-18"),
        ("openai", "o3-mini"),
        ("anthropic", "claude-sonnet-4-5"),
        ("anthropic", "claude-3-5-haiku-latest"),
        ("azure", "gpt-4.1"),
        ("mistral", "mistral-large-latest"),
        ("groq", "llama-3.3-70b-versatile"),
        ("openai", "no-such-model"),
    ],
)
def test_a_wildcards_models_have_the_prices_of_the_table(provider: str, model: str) -> None:
    wildcard = _wildcard(provider)
    priced = with_prices(Snapshot({"w/*": wildcard}, "0"), NOW_S).routes["w/*"]
    (upstream,) = for_rest(priced, model).upstreams
    assert upstream.price == table_price(provider, model, Task.CHAT, NOW_S)
    (own,) = for_rest(_wildcard(provider, price=Price(1, 2)), model).upstreams
    assert own.price == Price(1, 2)


def _wildcard(provider: str, **fields: Any) -> Route:
    from adapters.providers import PROVIDERS

    base_url = PROVIDERS[provider].base_url or "https://a/openai/v1"
    return Route("w/*", Task.CHAT, (Upstream(provider, "*", base_url, None, **fields),))
