"""Why a provider refused reaches the caller, on every door, whole and streamed: every recorded refusal, and others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody

from adapters import FORMATS, Kind, Task
from adapters.providers import PROVIDERS
from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import rest_pb2
from tests.adapters.laws import cases
from tests.provider import Call, Provider, Reply
from tests.worker.running import WorkerProcess, route, snapshot
from tests.worker.test_rest import USER, read

MESSAGES = [{"role": "user", "content": "hello"}]
TYPED = [pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hello")])]
OURS = "rejected the gateway's credentials"
JSON = (("content-type", "application/json"),)


@dataclass(frozen=True)
class Refusal:
    """What a provider answers; `kind` is what it means, None where the status alone is looked at."""

    provider: str
    status: int
    body: bytes
    words: tuple[str, ...]

    @property
    def kind(self) -> Kind:
        return FORMATS[PROVIDERS[self.provider].format].error(self.status, {}, self.body).kind


def words_of(value: Any) -> Iterator[str]:
    """The sentences in a body, wherever they stand: what a human would look for. JSON within JSON is opened."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("message", "error", "detail", "details", "msg", "raw", "failed_generation") or not isinstance(
                inner, str
            ):
                yield from words_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from words_of(inner)
    elif isinstance(value, str) and " " in value.strip():
        try:
            yield from words_of(json.loads(value))
        except ValueError:
            yield value.strip()


def recorded() -> list[Refusal]:
    """One of each body, of providers that have a row and stream chat."""
    found: dict[bytes, Refusal] = {}
    for case in cases():
        name, body = case.row.provider.name, case.body
        if case.status >= 400 and body not in found and streams_chat(name):
            try:
                value = json.loads(body)
            except ValueError:
                continue  # a page, or a line of text: nothing to look for
            if words := tuple(words_of(_without_details_of_google(value))):
                found[body] = Refusal(name, case.status, body, words)
    return list(found.values())


def streams_chat(provider: str) -> bool:
    row = PROVIDERS[provider]
    side = FORMATS[row.format].provider.get(Task.CHAT)
    return Task.CHAT in row.tasks and side is not None and side.stream is not None


def _without_details_of_google(value: Any) -> Any:
    """Its ErrorInfo repeats the message in the caller's language, and links to help."""
    inner = value[0] if isinstance(value, list) and value else value
    if isinstance(inner, dict) and isinstance(inner.get("error"), dict):
        return {**inner, "error": {name: each for name, each in inner["error"].items() if name != "details"}}
    return value


def _made(provider: str, status: int, body: Any, *words: str) -> Refusal:
    return Refusal(provider, status, json.dumps(body).encode(), words or tuple(words_of(body)))


MADE = [
    _made("mistral", 422, {"object": "error", "message": {"detail": [
        {"type": "extra_forbidden", "loc": ["body", "messages", 0, "x"], "msg": "Extra inputs are not permitted"}]}},
        "body.messages.0.x", "Extra inputs are not permitted"),
    _made("vllm", 422, {"detail": [{"loc": ["body", "n"], "msg": "Input should be a valid integer"}]},
          "body.n", "Input should be a valid integer"),
    _made("azure", 400, {"error": {"message": "The response was filtered.", "code": "content_filter", "innererror": {
        "code": "ResponsibleAIPolicyViolation", "content_filter_result": {"violence": {"filtered": True, "severity": "high"}}}}},
        "The response was filtered.", "violence"),
    _made("openrouter", 502, {"error": {"code": 502, "message": "Provider returned error", "metadata": {
        "raw": '{"detail":"The worker is gone."}', "provider_name": "Chutes"}}}, "The worker is gone.", "Chutes"),
    _made("deepseek", 400, {"error": {"message": "Content Exists Risk", "code": "invalid_request_error"}}),
    _made("anthropic", 400, {"type": "error", "error": {"type": "invalid_request_error", "message": "messages.1: bad turn"}}),
    _made("cohere", 422, {"message": "invalid type: parameter k is not an integer"}),
    _made("huggingface-text-generation-inference", 422, {"error": "Template error: no template", "error_type": "template_error"}),
]  # fmt: skip
REFUSALS = [*recorded(), *MADE]


def answering(call: Call) -> Reply:
    one = REFUSALS[int(call.path.split("/")[1])]
    return Reply(one.status, JSON, (one.body,))


def routes(provider: Provider) -> Any:
    made = []
    for number, one in enumerate(REFUSALS):
        url = f"{provider.root_url}/{number}"
        made.append(route(f"r{number}", Task.CHAT, url, provider=one.provider, options={"default_max_tokens": 9}))
    return snapshot(made)


def _body(**members: Any) -> HttpBody:
    return HttpBody(content_type="application/json", data=json.dumps(members).encode())


async def by_chat(worker: WorkerProcess, name: str, stream: bool) -> str:
    body = _body(model=name, messages=MESSAGES, stream=stream)
    return strings((await read(worker.rest().ChatCompletions(body, metadata=USER))).json)


async def by_messages(worker: WorkerProcess, name: str, stream: bool) -> str:
    body = _body(model=name, messages=MESSAGES, max_tokens=9, stream=stream)
    request = rest_pb2.CreateMessageRequest(body=body)
    return strings((await read(worker.rest().CreateMessage(request, metadata=USER))).json)


async def by_responses(worker: WorkerProcess, name: str, stream: bool) -> str:
    body = _body(model=name, input=MESSAGES, stream=stream)
    return strings((await read(worker.rest().CreateResponse(body, metadata=USER))).json)


async def by_mlflow(worker: WorkerProcess, name: str, stream: bool) -> str:
    request = rest_pb2.InvokeMlflowRequest(name=name, body=_body(messages=MESSAGES, stream=stream))
    return strings((await read(worker.rest().InvokeMlflow(request, metadata=USER))).json)


async def by_stub(worker: WorkerProcess, name: str, stream: bool) -> str:
    stub, request = worker.inference(), pb.ChatRequest(route=name, messages=TYPED)
    try:
        if stream:
            async for _ in stub.StreamChat(request):
                pass
        else:
            await stub.Chat(request)
    except grpc.aio.AioRpcError as error:
        return error.details() or ""
    return ""


def strings(value: Any) -> str:
    if isinstance(value, dict):
        value = list(value.values())
    return "\n".join(map(strings, value)) if isinstance(value, list) else value if isinstance(value, str) else ""


DOORS = {"chat": by_chat, "messages": by_messages, "responses": by_responses, "mlflow": by_mlflow, "stub": by_stub}


@pytest.mark.parametrize("stream", [False, True], ids=("whole", "stream"))
@pytest.mark.parametrize("door", DOORS)
async def test_the_providers_own_words_reach_the_caller(provider: Provider, door: str, stream: bool) -> None:
    provider.script = answering
    lost: dict[str, str] = {}
    async with WorkerProcess(routes(provider)) as worker:
        places = asyncio.Semaphore(16)

        async def ask(number: int) -> None:
            async with places:
                text = await DOORS[door](worker, f"r{number}", stream)
            one = REFUSALS[number]
            wanted = (OURS,) if one.kind is Kind.UPSTREAM_REJECTED_CREDENTIALS else one.words
            if missing := [words for words in wanted if words not in text]:
                lost[f"{one.provider} {one.status} {missing}"] = text

        await asyncio.gather(*(ask(number) for number in range(len(REFUSALS))))
    assert not lost
