"""How a recording is replayed: the route that leads to it, the way its provider sends it, and the requests that ask for it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from adapters import Task, side_of
from adapters.providers import PROVIDERS
from sidecar.v1 import inference_pb2 as pb
from tests.adapters.laws import Case, cases
from tests.adapters.meaning import with_parsed_arguments
from tests.provider import Call, End, Framing, Provider, Reply
from tests.worker.running import route, snapshot

PIECES_MAX = 40
GAP_S = 0.001
# What a provider insists on and the shortest request lacks (Cohere's embeddings); others do not look at it.
OPTIONS = {"input_type": "search_document"}
EARLY = 0.4  # of an answer: no recording has its finish reason or end marker so soon
HEADERS = ("content-type", "retry-after", "retry-after-ms")


@dataclass(frozen=True)
class Replayed:
    """A recording with the route that leads to it."""

    case: Case
    number: int

    @property
    def name(self) -> str:
        return f"{self.case.path.parent.name}/{self.case.path.stem}"

    @property
    def route(self) -> str:
        return f"r{self.number}"

    @property
    def passes(self) -> bool:
        """Whether a body of OpenAI's chat, completions or embeddings does."""
        return self.case.format.name == "openai" and self.case.side.patch is not None

    @property
    def texts(self) -> list[str]:
        """As many as the recorded answer has vectors."""
        return ["hi"] * (len(self.wanted["vectors"]) if self.case.status == 200 else 1)

    @property
    def wanted(self) -> dict[str, Any]:
        return with_parsed_arguments(self.case.row.oracle.answer(self.case.recording))


def as_configured(case: Case) -> bool:
    """Whether a route to the row's provider can be had: the laws also try rows that no config names."""
    row = PROVIDERS.get(case.row.provider.name)
    return row is not None and row.stream_end == case.row.provider.stream_end and side_of(
        case.format, replace(case.target, provider=row), case.task
    ) is case.side  # fmt: skip


REPLAYED = [Replayed(case, number) for number, case in enumerate(filter(as_configured, cases()))]


def reply(one: Replayed) -> Reply:
    """The recording on the wire, in this recording's own way."""
    dice = random.Random(one.name)
    body = one.case.body
    cuts = sorted(dice.sample(range(len(body) + 1), min(len(body), dice.choice((0, 3, PIECES_MAX)))))
    parts = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True) if end > start]
    recorded = one.case.recording["response"]["headers"]
    return Reply(
        status=one.case.status,
        headers=tuple((name, recorded[name]) for name in HEADERS if recorded.get(name)),
        parts=parts,
        framing=dice.choice((Framing.CHUNKED, Framing.CHUNKED, Framing.CLOSE, Framing.LENGTH)),
        gzip=dice.random() < 0.3,
        gap_s=dice.choice((0.0, GAP_S)),
        slice_bytes=dice.choice((0, 0, 7)) if len(body) < 20_000 else 0,
    )


def cut(call: Call) -> Reply:
    """The same, broken off early: before any format's end could have come."""
    one = REPLAYED[int(call.path.split("/")[1])]
    whole = reply(one)
    at = random.Random(one.name + "cut").randint(0, int(len(one.case.body) * EARLY))
    return replace(whole, end=End.CUT, cut_at=at, gzip=False)


def routes(provider: Provider) -> Any:
    made = []
    for one in REPLAYED:
        url = f"{provider.root_url}/{one.number}"
        model = one.case.target.model or "m"
        api = {"chat_api": "responses"} if one.case.format.name == "responses" else {}
        fields = {"provider": one.case.row.provider.name, "model": model, "options": OPTIONS | api}
        made.append(route(one.route, one.case.task, url, **fields))
    return snapshot(made)


def rest_request(one: Replayed) -> dict[str, Any]:
    """The recorded one where the provider speaks OpenAI's format, else the shortest that asks for such an answer."""
    stream = {"stream": True, "stream_options": {"include_usage": True}} if one.case.streamed else {}
    if one.passes:
        return {**one.case.request, "model": one.route, **stream}
    inputs: dict[Task, Callable[[], dict[str, Any]]] = {
        Task.CHAT: lambda: {"messages": [{"role": "user", "content": "hi"}]},
        Task.COMPLETIONS: lambda: {"prompt": "hi"},
        Task.EMBEDDINGS: lambda: {"input": one.texts},
    }
    return {"model": one.route, **inputs[one.case.task](), **stream}


def typed_request(one: Replayed) -> Any:
    """What the oracle reads in the recorded request, where it can read every one; else the shortest."""
    if one.case.row.requests:
        request = one.case.row.oracle.request(one.case.request, str(one.case.task))
        request.route = one.route
        return request
    if one.case.task is Task.CHAT:
        history = [pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hi")])]
        return pb.ChatRequest(route=one.route, messages=history)
    if one.case.task is Task.COMPLETIONS:
        return pb.CompleteRequest(route=one.route, prompts=[pb.Prompt(text="hi")])
    return pb.EmbedRequest(route=one.route, inputs=[pb.EmbedInput(text=text) for text in one.texts])
