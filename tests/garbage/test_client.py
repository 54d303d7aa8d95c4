"""The same by our Python client, over REST and gRPC, and by the commands: one error for one mistake, and no other route than
the one that was named."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llm_gateway_client import BadAnswer, Client, InternalError, InvalidRequest, NotFound, RateLimit, SidecarError

from tests.cli.running import sidecar
from tests.garbage.conftest import Gateway, nothing_changed, small_answer
from tests.provider import Provider

NOWHERE: tuple[str, ...] = (
    *(
        "",
        ".",
        "..",
        "...",
        "%2e%2e",
        "%2e%2e/chat",
        "chat/../embeddings",
        "../routes/chat",
        "x/../chat",
        "x/..",
        "./chat",
    ),
    *(
        "chat/",
        "/chat",
        "chat//",
        "a//b",
        "a b",
        "a\0b",
        "chat\n",
        "é",
        "a" * 300,
        "a" * 6000,
        "chat?x=1",
        "chat#y",
        "chat%",
    ),
    *("chat;x", "..\\chat", "limits/chat", "chat/mlflow", "chat/invocations", "\u202echat", "CHAT", "nobody", "*"),
)
NO_TEXTS: tuple[Any, ...] = (None, 5, 1.5, True, b"chat", [], {}, ["chat"], math.nan)
NO_COUNTS: tuple[Any, ...] = (-1, -(2**63), 2**53, 2**63, 10**400, 1.5, True, None, "5", b"5", [], math.nan, math.inf)
# More than JSON or a double holds; what fits is the provider's to judge.
NO_NUMBERS: tuple[Any, ...] = ("5", [], {}, True)
MODEL = {"provider": "ollama", "name": "m"}


@pytest.fixture(params=["rest", "grpc"])
def client(request: pytest.FixtureRequest, gateway: Gateway) -> Iterator[Client]:
    stack = gateway.stack
    target = stack.url if request.param == "rest" else stack.grpc_front
    with Client(target, api_key=gateway.keys["boss"], ca=str(stack.ca)) as client:
        yield client


def _refused(call: Callable[[], object], *kinds: type[Exception]) -> str:
    """ "", or what came of it instead."""
    try:
        return f"not refused: {call()!r}"
    except kinds:
        return ""
    except Exception as error:  # noqa: BLE001 the finding
        return repr(error)


def test_a_name_that_no_route_has_is_no_other_routes(gateway: Gateway, client: Client) -> None:
    calls: dict[str, Callable[[str], object]] = {
        "get": client.get_route,
        "limits": client.get_limits,
        "delete": client.delete_route,
        "update": lambda name: client.update_route(name, "chat", MODEL),
        "set": lambda name: client.set_limits(name, [RateLimit("requests", 1, 60)]),
        "chat": lambda name: client.chat(name, "hi"),
    }
    with nothing_changed(gateway):
        found = {
            (what, name[:30]): wrong
            for what, call in calls.items()
            for name in NOWHERE
            # The body of `chat` and `update` may say why the name is none; other calls have no body to be wrong.
            if (wrong := _refused(lambda call=call, name=name: call(name), NotFound, InvalidRequest))  # type: ignore[misc]
        }
        found |= {
            (what, repr(name)): wrong
            for what, call in calls.items()
            if what != "chat"
            for name in NO_TEXTS
            if (wrong := _refused(lambda call=call, name=name: call(name), InvalidRequest))  # type: ignore[misc]
        }
    assert found == {}


def test_a_number_that_is_none_is_an_invalid_request(gateway: Gateway, client: Client, simulator: Provider) -> None:
    simulator.script = small_answer

    def wrong(call: Callable[[Any], object], values: tuple[Any, ...], *kinds: type[Exception]) -> dict[str, str]:
        return {repr(value)[:30]: found for value in values if (found := _refused(lambda: call(value), *kinds))}  # noqa: B023

    with nothing_changed(gateway):
        count = wrong(
            lambda value: client.set_limits("chat", [RateLimit("requests", value, 60)]), NO_COUNTS, InvalidRequest
        )
        # ValueError: REST has no limits without a time, and says so before it asks.
        seconds = wrong(
            lambda value: client.set_limits("chat", [RateLimit("requests", 1, value)]),
            NO_COUNTS,
            InvalidRequest,
            ValueError,
        )
        many = wrong(
            lambda value: client.set_limits("chat", [RateLimit("requests", 1, 60)] * value), (17, 1000), InvalidRequest
        )
        name = wrong(lambda value: client.create_route(value, "chat", MODEL), (*NO_TEXTS, "..", "a\nb"), InvalidRequest)
        model = wrong(
            lambda value: client.create_route("x", "chat", {**MODEL, "name": value}),
            (5, True, [5], "a\nb"),
            InvalidRequest,
        )
    assert (count, seconds, many, name, model) == ({}, {}, {}, {}, {})


def test_a_parameter_of_any_value_is_answered_or_refused(client: Client, simulator: Provider) -> None:
    simulator.script = small_answer
    found = {}
    for name in ("max_tokens", "n", "seed", "temperature", "top_p", "frequency_penalty"):
        for value in (-1, 2**31, 2**63, 10**400, 1e308, math.nan, math.inf, -math.inf, *NO_NUMBERS):
            try:
                client.chat("chat", "hi", **{name: value})
            except (InternalError, BadAnswer) as error:
                found[name, repr(value)[:30]] = repr(error)
            except SidecarError:
                pass
    assert found == {}


COMMANDS = (
    ("routes", "delete", ""),
    ("routes", "delete", "../chat"),
    ("routes", "create", "a\nb", "--provider", "ollama", "--model", "m"),
    ("routes", "create", "x", "--provider", "ollama", "--model", "a\nb"),
    ("routes", "create", "x", "--provider", "ollama", "--model", "m", "--settings", '{"timeouts": {"total": 1e400}}'),
    ("routes", "create", "x", "--provider", "ollama", "--model", "m", "--settings", "[" * 100_000),
    ("explain", ".."),
    ("chat", "%2e%2e", "hi"),
    ("usage", "--days", "-1"),
    ("usage", "--days", "9" * 400),
)


def test_a_command_says_in_one_line_what_is_wrong(gateways: dict[str, Gateway]) -> None:
    gateway = gateways["nginx"]

    def run(arguments: tuple[str, ...]) -> str:
        ended = sidecar(*arguments, "--state-dir", str(gateway.stack.state))
        text = ended.stderr.strip()
        good = ended.returncode in (1, 2) and text and "Traceback" not in text and "INTERNAL" not in text
        return "" if good else f"{[each[:40] for each in arguments]}: {ended.returncode} {text[-400:]}"

    with nothing_changed(gateway), ThreadPoolExecutor(2) as pool:
        assert [line for line in pool.map(run, COMMANDS) if line] == []
