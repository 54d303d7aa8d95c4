"""A call costs what its service tier costs: the one that the provider says it used, on every way and in every format."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from google.api.httpbody_pb2 import HttpBody

from adapters import Task, service_tier_in
from sidecar.domain.snapshot import Price, Route
from sidecar.spend.cost import TokenCounts
from sidecar.spend.prices import table_price, table_rules
from sidecar.spend.tiers import charged, dearest
from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import rest_pb2
from tests.provider import Call, Provider, Reply, data, json_reply, openai_responses, sse_reply
from tests.provider.reply import event
from tests.worker.running import WorkerProcess, route, snapshot
from tests.worker.test_rest import USER, post, read

TIERS = {"flex": Price(500_000, 5_000_000), "priority": Price(2_000_000, 20_000_000)}
PRICE = Price(1_000_000, 10_000_000, tiers=tuple(TIERS.items()))
TOKENS = TokenCounts(1000, 100)
BASE, FLEX, PRIORITY = 2000, 1000, 4000
HELLO = [pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hi")])]
NOW_S = 1_795_000_000.0  # November 2026


@pytest.mark.parametrize(
    ("named", "requested", "estimated", "cost"),
    [
        ("flex", "", False, FLEX),
        ("priority", "flex", False, PRIORITY),
        ("default", "priority", False, BASE),
        ("gold", "", False, BASE),
        ("", "", False, BASE),
        ("", "flex", False, BASE),
        ("", "priority", False, PRIORITY),
        ("", "", True, PRIORITY),
        ("", "flex", True, BASE),
        ("", "default", True, BASE),
        ("flex", "", True, FLEX),
    ],
)
def test_what_was_said_decides_and_where_nothing_was_the_dearer(
    named: str, requested: str, estimated: bool, cost: int
) -> None:
    assert charged(PRICE, named, requested, TOKENS, estimated=estimated) == cost


def test_before_the_call_it_is_the_dearest_that_may_apply() -> None:
    assert [dearest(PRICE, tier, TOKENS) for tier in ("", "flex", "priority", "default")] == [
        PRIORITY,
        BASE,
        PRIORITY,
        BASE,
    ]
    assert dearest(replace(PRICE, tiers=()), "", TOKENS) == BASE


def test_the_table_has_tiers_of_openais_models() -> None:
    price = table_price("openai", "gpt-5.4", Task.CHAT, NOW_S)
    assert price is not None
    tiers = dict(price.tiers)
    assert tiers["flex"].input < price.input < tiers["priority"].input
    assert tiers["flex"].output < price.output < tiers["priority"].output
    assert "default" not in tiers
    assert any(rule.tiers for _, rule in table_rules("openai", Task.CHAT, NOW_S)), "of wildcard routes too"
    assert table_price("anthropic", "claude-opus-4-6", Task.CHAT, NOW_S) is not None


@pytest.mark.parametrize(
    ("body", "tier"),
    [
        (b'{"service_tier": "Flex", "usage": {"service_tier": "priority"}}', "flex"),
        (b'{"usage": {"service_tier": "priority"}}', "priority"),
        (b'{"service_tier": "auto", "usage": {}}', ""),
        (b'{"service_tier": null}', ""),
        (b'{"service_tier": {"name": "flex"}}', ""),
        (b'{"service_tier": "a b"}', ""),
        (b'{"choices": [{"text": "\\"service_tier\\""}]}', ""),
        (b'["service_tier"]', ""),
        (b"\xff\"service_tier\"", ""),
    ],
)  # fmt: skip
def test_an_answer_says_its_tier_or_none(body: bytes, tier: str) -> None:
    assert service_tier_in(body) == tier


# ----- whole calls -----


def answering(call: Call) -> Reply:
    """In the tier that the model's name says; `cut-` breaks a stream off after its first output."""
    name = str(call.json["model"])
    tier = name.removeprefix("cut-")
    streamed = bool(call.json.get("stream"))
    if call.path.endswith("/messages"):
        return sse_reply(_claude_events(tier)) if streamed else json_reply(_claude(tier))
    if call.path.endswith("/responses"):
        usage = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
        whole = openai_responses.answer(openai_responses.MESSAGE, usage=usage, service_tier=tier)
        return sse_reply(_response_events(whole)) if streamed else json_reply(whole)
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    head = {"id": "c", "created": 1, "model": "m", **({"service_tier": tier} if tier != "none" else {})}
    choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
    if not streamed:
        return json_reply({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
    head["object"] = "chat.completion.chunk"
    first = {"index": 0, "delta": {"role": "assistant", "content": "ok"}, "finish_reason": None}
    pieces: list[Any] = [{"choices": [first]}]
    if not name.startswith("cut-"):
        pieces += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": usage}]
    ends = [] if name.startswith("cut-") else [data("[DONE]")]
    return sse_reply([*(data({**head, **piece}) for piece in pieces), *ends])


def _claude(tier: str) -> dict[str, Any]:
    usage = {"input_tokens": 1000, "output_tokens": 100, "service_tier": tier}
    head = {"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
    return {**head, "content": [{"type": "text", "text": "ok"}], "stop_reason": "end_turn", "usage": usage}


def _claude_events(tier: str) -> list[bytes]:
    head = {**_claude(tier), "content": [], "stop_reason": None}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": head},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ok"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 100}},
        {"type": "message_stop"},
    ]
    return [event(str(each["type"]), each) for each in events]


def _response_events(whole: dict[str, Any]) -> list[bytes]:
    """Only the last event has the tier that was used; the first says what was asked for."""
    first = {**whole, "status": "in_progress", "output": [], "usage": None, "service_tier": "auto"}
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": first},
        {"type": "response.output_text.delta", **at, "delta": "Let me see."},
        {"type": "response.completed", "response": whole},
    ]
    return [event(str(each["type"]), {**each, "sequence_number": n}) for n, each in enumerate(events)]


def priced(provider: Provider, kind: str, tier: str, name: str, **options: Any) -> Route:
    base_url = provider.root_url if kind == "anthropic" else provider.base_url
    made = route(name, Task.CHAT, base_url, provider=kind, model=tier, options=options)
    return replace(made, upstreams=tuple(replace(each, price=PRICE) for each in made.upstreams))


def spent(worker: WorkerProcess) -> dict[str, int]:
    """By route, of all consumers."""
    sums: Counter[str] = Counter()
    for family in worker.counted():
        if family.name == "sidecar_spend_micro_dollars":
            for sample in family.samples:
                sums[sample.labels["route"]] += int(sample.value)
    return dict(sums)


async def call_each_format(worker: WorkerProcess, name: str) -> int:
    """How many calls that were."""
    body: dict[str, Any] = {"model": name, "messages": [{"role": "user", "content": "hi"}]}
    responses = {"model": name, "input": "hi"}
    for streamed in ({}, {"stream": True}):
        assert (await post(worker, "ChatCompletions", {**body, **streamed})).status == 200
        message = {**body, "max_tokens": 9, **streamed}
        raw = HttpBody(content_type="application/json", data=json.dumps(message).encode())
        call = worker.rest().CreateMessage(rest_pb2.CreateMessageRequest(body=raw), metadata=USER)
        assert (await read(call)).status == 200
        assert (await post(worker, "CreateResponse", {**responses, **streamed})).status == 200
    await worker.inference().Chat(pb.ChatRequest(route=name, messages=HELLO))
    async for _ in worker.inference().StreamChat(pb.ChatRequest(route=name, messages=HELLO)):
        pass
    return 8


async def test_every_way_of_asking_is_charged_by_the_tier_that_was_used(provider: Provider) -> None:
    """OpenAI's chat and Responses, Anthropic's Messages, passed and translated, whole and streamed."""
    provider.script = answering
    costs = {"flex": FLEX, "priority": PRIORITY, "default": BASE, "gold": BASE}
    kinds: dict[str, dict[str, Any]] = {
        "openai": {},
        "anthropic": {"default_max_tokens": 9},
        "by-responses": {"chat_api": "responses"},
    }
    routes = {
        f"{kind}-{tier}": priced(provider, kind.replace("by-responses", "openai"), tier, f"{kind}-{tier}", **options)
        for kind, options in kinds.items()
        for tier in costs
    }
    async with WorkerProcess(snapshot(routes.values()), metrics=True) as worker:
        calls = {name: await call_each_format(worker, name) for name in routes}
        found = spent(worker)
    assert found == {name: calls[name] * costs[name.rpartition("-")[2]] for name in routes}


async def test_a_stream_that_breaks_off_before_a_tier_was_said_is_charged_as_the_dearest(provider: Provider) -> None:
    provider.script = answering
    routes = [priced(provider, "openai", f"cut-{tier}", f"cut-{tier}") for tier in ("flex", "none")]
    async with WorkerProcess(snapshot(routes), metrics=True) as worker:
        for each in routes:
            body = {"model": each.name, "messages": [{"role": "user", "content": "hi " * 2000}], "stream": True}
            await post(worker, "ChatCompletions", body)
        found = spent(worker)
    assert found["cut-none"] > 3 * found["cut-flex"] > 0
