"""Routes and limits by call, and MLflow's functions, by every entrance."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llm_gateway_client import Conflict, InvalidRequest, Model, NotFound, RateLimit, Route, TargetError, fluent
from llm_gateway_client.values import Json

from tests.client.entrances import Entrance
from tests.processes import REPOSITORY
from tests.provider import Provider
from tests.stack.stack import Stack

pytestmark = pytest.mark.slow
PER_MINUTE = RateLimit("requests", 1000, 60, each_consumer=True)
TEN_MINUTES = RateLimit("requests", 5000, 600)
# A month, a year, the longest there is; and times that are none of a larger unit.
PERIODS_S = (1, 90, 7200, 86_400, 2_592_000, 2_678_400, 31_104_000, 5 * 31_104_000, 31_535_999)


def model(simulator: Provider, key: str = "config") -> dict[str, Any]:
    config = {"openai_api_key": "sk-made-by-call", "openai_api_base": simulator.base_url}
    return {"provider": "openai", "name": "gpt-4", key: config}


async def test_routes_are_listed_with_their_tasks_and_models(entrance: Entrance) -> None:
    routes = {route.name: route for route in await entrance.call("list_routes")}
    assert [routes[name].task for name in ("chat", "completions", "embeddings")] == [
        "chat",
        "completions",
        "embeddings",
    ]
    assert routes["claude"] == Route("claude", "chat", Model("anthropic", "sim-chat"))
    assert await entrance.call("get_route", "claude") == routes["claude"]
    assert (routes["claude"].route_type, routes["claude"].route_url) == ("llm/v1/chat", "/gateway/claude/invocations")


async def test_a_route_is_made_called_limited_and_removed(entrance: Entrance, simulator: Provider) -> None:
    name = f"made-{entrance.name}"
    made = await entrance.call("create_route", name, "llm/v1/chat", model(simulator))
    assert made == Route(name, "chat", Model("openai", "gpt-4"))
    assert (await entrance.call("chat", name, "x")).text == "echo: x"
    assert simulator.calls[-1].key == "sk-made-by-call"
    with pytest.raises(Conflict):
        await entrance.call("create_route", name, "chat", model(simulator))

    assert await entrance.call("set_limits", name, [PER_MINUTE, TEN_MINUTES]) == [PER_MINUTE, TEN_MINUTES]
    assert await entrance.call("get_limits", name) == [PER_MINUTE, TEN_MINUTES]
    assert await entrance.call("set_limits", name, []) == []

    await entrance.call("delete_route", name)
    with pytest.raises(NotFound):
        await entrance.call("get_route", name)
    with pytest.raises(NotFound):
        await entrance.call("chat", name, "x")


async def test_a_limit_of_any_period_is_read_by_each_service_as_it_was_set_by_the_other(
    stack: Stack, simulator: Provider
) -> None:
    rest, grpc = Entrance("sync-rest", stack), Entrance("async-grpcs", stack)
    await rest.call("create_route", "periods", "chat", model(simulator))
    for seconds in PERIODS_S:
        limit = [RateLimit("requests", 5, seconds)]
        for one, other in ((rest, grpc), (grpc, rest)):
            assert await one.call("set_limits", "periods", []) == []
            assert await one.call("set_limits", "periods", limit) == limit
            assert await other.call("get_limits", "periods") == limit
    for entrance in (rest, grpc):
        with pytest.raises(InvalidRequest, match="155,520,000"):
            await entrance.call("set_limits", "periods", [RateLimit("requests", 5, 155_520_001)])
    await rest.call("delete_route", "periods")


async def test_a_route_that_cannot_be_is_refused(entrance: Entrance) -> None:
    wrong = {"provider": "opnai", "name": "gpt-4", "config": {"openai_api_key": "sk-x"}}
    with pytest.raises(InvalidRequest, match="opnai"):
        await entrance.call("create_route", "wrong", "chat", wrong)
    with pytest.raises(ValueError, match="task"):
        await entrance.call("create_route", "wrong", "llm/v1/speech", wrong)


async def test_a_route_is_replaced(entrance: Entrance, simulator: Provider) -> None:
    name = f"replaced-{entrance.name}"
    await entrance.call("create_route", name, "chat", model(simulator))
    changed = {**model(simulator), "name": "gpt-5"}
    assert (await entrance.call("update_route", name, "chat", changed)).model.name == "gpt-5"
    if entrance.target != "rest":  # MLflow's path has no words for tokens
        tokens = RateLimit("tokens", 100_000, 60)
        assert await entrance.call("set_limits", name, [tokens]) == [tokens]
    await entrance.call("delete_route", name)


@pytest.fixture(params=["stub", "grpcs", "rest"])
def gateway(request: pytest.FixtureRequest, stack: Stack) -> Iterator[str]:
    """fluent, pointed at the stack by each kind of target."""
    target, keywords = Entrance(f"sync-{request.param}", stack).arguments()
    if "api_key" in keywords:
        keywords = {"user": stack.user, "password": stack.password, "ca": stack.ca}
    fluent.set_gateway_uri(target, **keywords)
    yield request.param
    fluent.reset()


QUERIES: dict[str, tuple[str, Json, Json]] = {
    "A chat": (
        "chat",
        {"messages": [{"role": "user", "content": "hi"}], "temperature": 0.25, "candidate_count": 1},
        {
            "candidates": [{"message": {"role": "assistant", "content": "echo: hi"}, "metadata": {"finish_reason": "stop"}}],
            "metadata": {"input_tokens": 8, "output_tokens": 2, "total_tokens": 10, "model": "sim-chat",
                         "route_type": "llm/v1/chat"},
        },
    ),
    "A completions": (
        "completions",
        {"prompt": "hi"},
        {
            "candidates": [{"text": "echo: hi", "metadata": {"finish_reason": "stop"}}],
            "metadata": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, "model": "sim-completions",
                         "route_type": "llm/v1/completions"},
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_in_dialect_a_is_answered_in_it(gateway: str, name: str, simulator: Provider) -> None:
    route, data, answer = QUERIES[name]
    assert fluent.query(route, data) == answer
    if "temperature" in data:
        assert simulator.calls[-1].json["temperature"] == 0.5, "0 to 1, stretched to the provider's 0 to 2"


def test_a_query_in_dialect_b_is_answered_in_it(gateway: str, simulator: Provider) -> None:
    answer = fluent.query("chat", {"messages": [{"role": "user", "content": "hi"}], "n": 2})
    assert [choice["message"]["content"] for choice in answer["choices"]] == ["echo: hi"] * 2
    assert answer["usage"]["total_tokens"] == 10
    vectors = fluent.query("embeddings", {"input": ["a", "b"]})
    assert [row["index"] for row in vectors["data"]] == [0, 1]
    assert [row["embedding"] for row in vectors["data"]] == fluent.query("embeddings", {"text": ["a", "b"]})[
        "embeddings"
    ]


def test_a_query_without_what_the_task_needs_names_it(gateway: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        fluent.query("chat", {"text": "x"})
    assert refused.value.param == "messages"
    with pytest.raises(NotFound):
        fluent.query("no-such-route", {"prompt": "x"})


@pytest.mark.parametrize(
    ("data", "param"),
    [
        ({"messages": [{"role": "user", "content": "hi"}], "temperature": 1.5}, "temperature"),
        ({"messages": [{"role": "user", "content": "hi"}], "candidate_count": 6}, "candidate_count"),
        ({"messages": [{"role": "user", "content": "hi"}], "n": 1, "temperature": 2.5}, "temperature"),
        ({"messages": [{"role": "user", "content": "hi"}], "n": 1, "top_p": "x"}, "top_p"),
        ({"messages": [{"role": "user", "content": "hi"}], "model": "m"}, "model"),
    ],
)
def test_a_query_out_of_its_dialects_range_is_refused_by_each_target(gateway: str, data: Json, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        fluent.query("chat", data)
    assert refused.value.param == param or f"'{param}'" in refused.value.message


def test_mlflows_functions_make_limit_and_remove_a_route(gateway: str, simulator: Provider) -> None:
    name = f"fluent-{gateway}"
    made = fluent.create_route(name, "llm/v1/completions", data=model(simulator, "openai_config"))
    assert fluent.get_route(name) == made
    assert made in fluent.search_routes()
    limit = {"calls": 100, "key": "user", "renewal_period": "minute"}
    assert fluent.set_limits(name, [limit]) == fluent.get_limits(name) == [limit]
    assert fluent.query(name, {"prompt": "hi"})["candidates"][0]["text"] == "echo: hi"
    fluent.delete_route(name)
    with pytest.raises(NotFound):
        fluent.get_route(name)
    with pytest.raises(ValueError, match="either model or data"):
        fluent.create_route(name, "llm/v1/chat")


def test_the_address_is_kept_and_shows_no_password(gateway: str, stack: Stack) -> None:
    assert stack.password not in fluent.get_gateway_uri()
    with pytest.raises(TargetError, match="Databricks"):
        fluent.set_gateway_uri("databricks")
    assert fluent.search_routes(), "the old address stays"


def test_mlflows_own_variables_say_where_and_who(stack: Stack, tmp_path: Path) -> None:
    env = {
        "MLFLOW_GATEWAY_URI": stack.url,
        "MLFLOW_TRACKING_USERNAME": stack.user,
        "MLFLOW_TRACKING_PASSWORD": stack.password,
        "SSL_CERT_FILE": str(stack.ca),
        "PYTHONPATH": str(REPOSITORY),
    }
    code = "from llm_gateway_client import fluent; print(fluent.get_gateway_uri(), fluent.search_routes()[0].name)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [stack.url, "chat"]
