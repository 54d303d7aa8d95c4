"""What is charged, what is limited, what is measured and what `sidecar usage` says: one sum, whatever shape a provider counts in.

A worker, a provider on loopback, a route for each shape; each is asked by REST and by stub, whole and streamed, and on MLflow's
path."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapters import Task
from sidecar.domain.snapshot import Limit, Price, Route, Snapshot
from sidecar.spend.archive import FILE_NAME, Archive
from sidecar.spend.ledger import Ledger
from sidecar.v1 import inference_pb2 as pb
from tests.cli.running import sidecar
from tests.provider import Call, Provider, Reply, data, json_reply, sse_reply
from tests.spend.usage_answers import OPENAI_HEAD, answer, completion, events, format_of
from tests.spend.usage_shapes import REASONING, SHAPES, Shape
from tests.worker.running import WorkerProcess, route, snapshot
from tests.worker.test_mlflow_paths import query
from tests.worker.test_rest import post

PRICE = Price(1_000_000, 10_000_000, 100_000, 1_250_000)
# So many, and so slow to drain, that what is taken can be read off what is left.
TOKENS = Limit("tokens", 1_000_000, 31 * 86_400)
DRAINED = 60  # in as many seconds as no test takes
CALLS = 5
HELLO = [pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hi")])]
BY_NAME = {shape.name: shape for shape in SHAPES}
COUNTS = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
KINDS = ("input", "output", "cached_input", "cache_write", "reasoning")


def routed(shape: Shape, provider: Provider, *, task: Task = Task.CHAT, cost: Any = None) -> Route:
    base_url = provider.base_url if format_of(shape) == "openai" else provider.root_url
    made = route(shape.name, task, base_url, provider=shape.provider, model=shape.name, limits=(TOKENS,))
    return replace(made, upstreams=tuple(replace(each, price=PRICE, cost=cost) for each in made.upstreams))


def counting(call: Call) -> Reply:
    """The shape that the model's name asks for; Databricks has it in the path."""
    shape = BY_NAME[call.json.get("model") or call.path.split("/")[-2]]
    if call.json.get("stream"):
        return sse_reply(events(shape))
    return json_reply(
        completion(shape) if call.path.endswith("/completions") and "prompt" in call.json else answer(shape)
    )


def expected(shape: Shape, calls: int, money: int | None = None) -> dict[str, int]:
    counts = {name: count * calls for name, count in zip(COUNTS, shape.tokens, strict=False)}
    counts["micro_dollars"] = (shape.micro_dollars if money is None else money) * calls
    return {"calls": calls, **counts, "provider_micro_dollars": (shape.reported or 0) * calls, "estimated_tokens": 0}


class Sums:
    """What the worker counted, by route, in the words of `expected`."""

    def __init__(self, worker: WorkerProcess, folder: Path) -> None:
        self._worker = worker
        self._folder = folder

    def usage(self) -> dict[str, dict[str, int]]:
        """`sidecar usage`, once the supervisor has written the ledger down."""
        with (
            closing(Ledger(self._worker.run_dir)) as ledger,
            closing(Archive(self._folder / FILE_NAME)) as archive,
        ):
            archive.write(ledger.lines())
        done = sidecar("usage", "--json", "--since", "2d", "--state-dir", str(self._folder))
        sums: dict[str, Counter[str]] = {}
        for line in map(json.loads, done.stdout.splitlines()):
            sums.setdefault(line["route"], Counter()).update({k: v for k, v in line.items() if isinstance(v, int)})
        return {name: dict(found) for name, found in sums.items()}

    def metrics(self) -> dict[str, Counter[str]]:
        sums: dict[str, Counter[str]] = {}
        names = dict(zip(KINDS, COUNTS, strict=True))
        money = {
            "sidecar_spend_micro_dollars": "micro_dollars",
            "sidecar_provider_spend_micro_dollars": "provider_micro_dollars",
            "sidecar_estimated_tokens": "estimated_tokens",
            "sidecar_unreported_costs": "unreported",
        }
        for family in self._worker.counted():
            for sample in family.samples:
                name = names[sample.labels["kind"]] if family.name == "sidecar_tokens" else money.get(family.name)
                if name is not None:
                    sums.setdefault(sample.labels["route"], Counter())[name] += int(sample.value)
        return sums


async def typed(worker: WorkerProcess, name: str) -> tuple[pb.Usage, int]:
    """The usage, and what is left of the limit."""
    call = worker.inference().Chat(pb.ChatRequest(route=name, messages=HELLO))
    usage: pb.Usage = (await call).usage
    trailers = dict(await call.trailing_metadata())
    return usage, int(trailers["x-ratelimit-remaining-tokens"])


async def typed_stream(worker: WorkerProcess, name: str) -> pb.Usage:
    call = worker.inference().StreamChat(pb.ChatRequest(route=name, messages=HELLO))
    usages: list[pb.Usage] = [chunk.usage async for chunk in call if chunk.HasField("usage")]
    assert len(usages) == 1
    return usages[0]


async def call_everywhere(worker: WorkerProcess, shape: Shape) -> tuple[list[pb.Usage], int]:
    """Makes CALLS calls: the usage that typed ones got, and how many tokens the limit has taken for all."""
    body = {"model": shape.name, "messages": [{"role": "user", "content": "hi"}]}
    whole = await post(worker, "ChatCompletions", body)
    if format_of(shape) == "openai":
        assert whole.json["usage"] == shape.usage, "a body that passes is not touched"
    streamed = await post(
        worker, "ChatCompletions", {**body, "stream": True, "stream_options": {"include_usage": True}}
    )
    assert b'"usage":' in streamed.body
    queried = await query(worker, shape.name, {"messages": body["messages"]})
    assert queried.status == 200
    seen = await typed_stream(worker, shape.name)
    usage, left = await typed(worker, shape.name)
    return [seen, usage], TOKENS.count - left


def of(found: dict[str, int], names: Iterable[str]) -> dict[str, int]:
    return {name: found.get(name, 0) for name in names}


async def test_money_limits_metrics_and_usage_are_one_sum_for_each_shape(provider: Provider, tmp_path: Path) -> None:
    provider.script = counting
    wrong: list[Any] = []
    async with WorkerProcess(snapshot(routed(shape, provider) for shape in SHAPES), metrics=True) as worker:
        sums = Sums(worker, tmp_path)
        taken: dict[str, int] = {}
        for shape in SHAPES:
            seen, taken[shape.name] = await call_everywhere(worker, shape)
            for usage in seen:
                output = usage.output_tokens if usage.HasField("output_tokens") else shape.tokens.output
                if output != shape.tokens.output or usage.reasoning_tokens != shape.tokens.reasoning:
                    wrong.append((shape.name, "typed", usage))
        usages, metrics = sums.usage(), sums.metrics()
    for shape in SHAPES:
        wanted = expected(shape, CALLS)
        total = shape.tokens.total * CALLS
        if not total - DRAINED <= taken[shape.name] <= total:
            wrong.append((shape.name, "limit", taken[shape.name], total))
        if (found := of(usages[shape.name], wanted)) != wanted:
            wrong.append((shape.name, "usage", found, wanted))
        measured = {name: count for name, count in wanted.items() if name != "calls"}
        if (found := of(metrics[shape.name], measured)) != measured:
            wrong.append((shape.name, "metrics", found, measured))
    assert wrong == []


async def test_where_the_route_says_so_the_provider_s_own_figure_is_charged(provider: Provider, tmp_path: Path) -> None:
    provider.script = counting
    async with WorkerProcess(
        snapshot(routed(shape, provider, cost="provider") for shape in SHAPES), metrics=True
    ) as worker:
        sums = Sums(worker, tmp_path)
        for shape in SHAPES:
            await typed(worker, shape.name)
        usages, metrics = sums.usage(), sums.metrics()
    for shape in SHAPES:
        wanted = expected(shape, 1, shape.reported)
        assert of(usages[shape.name], wanted) == wanted, shape.name
        assert metrics[shape.name]["micro_dollars"] == wanted["micro_dollars"], shape.name
        assert metrics[shape.name]["unreported"] == (shape.reported is None), shape.name


async def test_completions_of_both_kinds_are_counted_like_chat(provider: Provider, tmp_path: Path) -> None:
    """With a provider that has them, and by chat with one that has none."""
    provider.script = counting
    shapes = [replace(each, provider="openai") for each in REASONING if format_of(each) == "openai"]
    by_chat = [replace(each, name=f"chat-{each.name}") for each in REASONING if format_of(each) != "openai"]
    by_chat += [replace(each, name=f"chat-{each.name}", provider="gemini") for each in shapes]
    BY_NAME.update({each.name: each for each in by_chat})
    every = [*shapes, *by_chat]
    async with WorkerProcess(
        snapshot(routed(each, provider, task=Task.COMPLETIONS) for each in every), metrics=True
    ) as worker:
        for shape in every:
            assert (await post(worker, "Completions", {"model": shape.name, "prompt": "hi"})).status == 200
            answered = await worker.inference().Complete(
                pb.CompleteRequest(route=shape.name, prompts=[pb.Prompt(text="hi")])
            )
            assert answered.usage.output_tokens == shape.tokens.output
        usages = Sums(worker, tmp_path).usage()
    for shape in every:
        wanted = expected(shape, 2)
        assert of(usages[shape.name], wanted) == wanted, shape.name


async def test_embeddings_have_no_output(provider: Provider, tmp_path: Path) -> None:
    reported: dict[str, dict[str, Any]] = {
        "openai": {"prompt_tokens": 7, "total_tokens": 7},
        "voyage": {"total_tokens": 7},
        "prompt-zero": {"prompt_tokens": 0, "total_tokens": 7},
        "openrouter": {"prompt_tokens": 7, "total_tokens": 7, "cost": 1.4e-7},
    }
    row = {"object": "embedding", "index": 0, "embedding": [0.5]}
    provider.script = lambda call: json_reply(
        {"object": "list", "model": "m", "data": [row], "usage": reported[call.json["model"]]}
    )
    shapes = [Shape(name, "openai", {}, SHAPES[0].tokens, 0) for name in reported]
    async with WorkerProcess(
        snapshot(routed(each, provider, task=Task.EMBEDDINGS) for each in shapes), metrics=True
    ) as worker:
        for shape in shapes:
            assert (await post(worker, "Embeddings", {"model": shape.name, "input": "hi"})).status == 200
            await worker.inference().Embed(pb.EmbedRequest(route=shape.name, inputs=[pb.EmbedInput(text="hi")]))
        usages = Sums(worker, tmp_path).usage()
    for name, found in usages.items():
        wanted = {"input_tokens": 14, "output_tokens": 0, "micro_dollars": 14, "estimated_tokens": 0}
        assert of(found, wanted) == wanted, name


def along(*usages: dict[str, Any] | None) -> Callable[[Call], Reply]:
    """A stream that counts in each of its chunks."""
    head = {**OPENAI_HEAD, "object": "chat.completion.chunk"}
    choice = {"index": 0, "delta": {"role": "assistant", "content": "ok"}, "finish_reason": None}
    ended = {"index": 0, "delta": {}, "finish_reason": "stop"}
    *first, last = usages
    pieces = [*({"choices": [choice], "usage": each} for each in first), {"choices": [ended], "usage": last}]
    return lambda call: sse_reply([*(data({**head, **piece}) for piece in pieces), data("[DONE]")])


async def test_a_stream_that_counts_along_is_counted_once(provider: Provider, tmp_path: Path) -> None:
    shape = replace(BY_NAME["xai-apart"], provider="openai")
    final = shape.usage
    early = {"prompt_tokens": 1000, "completion_tokens": 1, "total_tokens": 1001}
    zero = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    prompt = {"prompt_tokens": 1000, "completion_tokens": None, "total_tokens": None}
    streams = [along(early, final), along(zero, final), along(None, early, final, zero), along(prompt, prompt, final)]
    body = {"model": shape.name, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    async with WorkerProcess(snapshot([routed(shape, provider)]), metrics=True) as worker:
        for script in streams:
            provider.script = script
            assert (await post(worker, "ChatCompletions", body)).status == 200
            async for _ in worker.inference().StreamChat(pb.ChatRequest(route=shape.name, messages=HELLO)):
                pass
        sums = Sums(worker, tmp_path)
        wanted = expected(shape, 2 * len(streams))
        assert of(sums.usage()[shape.name], wanted) == wanted
        del wanted["calls"]
        assert of(sums.metrics()[shape.name], wanted) == wanted


async def test_tokens_that_were_thought_fill_a_limit(provider: Provider) -> None:
    """A thousand in, a hundred out, three thousand thought: the second call meets a limit of 4,000."""
    provider.script = counting
    shape = BY_NAME["xai-apart"]
    made: Snapshot = snapshot([replace(routed(shape, provider), limits=(Limit("tokens", 4000, 86_400),))])
    body = {"model": shape.name, "messages": [{"role": "user", "content": "hi"}]}
    async with WorkerProcess(made) as worker:
        assert (await post(worker, "ChatCompletions", body)).status == 200
        assert (await post(worker, "ChatCompletions", body)).status == 429
