"""Arguments -> what both transports send: the name of a call and a JSON body.

Chat, completions and embeddings have bodies of OpenAI's format; what else a provider takes goes into `extra`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from llm_gateway_client.values import Json, Message, RateLimit

TASKS = ("chat", "completions", "embeddings")
_TASK_PREFIX = "llm/v1/"

Messages = str | Sequence[Message | Json]
"""A question, or the conversation, oldest first: our Message or mappings of OpenAI's shape."""
Texts = str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]
"""A text, several, or token ids."""


class Sampling(TypedDict, total=False):
    """What chat and completions share. What is not given is not sent."""

    n: int
    stop: str | Sequence[str]
    seed: int
    temperature: float
    top_p: float
    max_tokens: int
    frequency_penalty: float
    presence_penalty: float
    logit_bias: Mapping[str, float]
    user: str
    extra: Json
    """Further members for the provider."""


class ChatParameters(Sampling, total=False):
    """Parameters of chat and stream_chat; meaning and ranges are those of ChatRequest in inference.proto."""

    tools: Sequence[Json]
    tool_choice: str | Json
    parallel_tool_calls: bool
    response_format: Json
    max_completion_tokens: int
    logprobs: bool
    top_logprobs: int
    reasoning_effort: str
    metadata: Mapping[str, str]
    modalities: Sequence[str]
    audio: Json
    prediction: Json
    service_tier: str
    store: bool
    verbosity: str
    safety_identifier: str
    prompt_cache_key: str


class CompletionParameters(Sampling, total=False):
    """Parameters of complete and stream_complete; see CompleteRequest in inference.proto."""

    suffix: str
    echo: bool
    logprobs: int
    best_of: int


class EmbedParameters(TypedDict, total=False):
    """Parameters of embed; see EmbedRequest in inference.proto. `encoding_format` "base64" takes a third of the bytes."""

    dimensions: int
    encoding_format: str
    user: str
    extra: Json


@dataclass(frozen=True, slots=True)
class Call:
    """One call: an RPC's name and what it is given. `repeatable`: making it twice does no harm and costs nothing."""

    name: str
    body: Json
    stream: bool = False
    repeatable: bool = False


def chat(route: str, messages: Messages, parameters: Mapping[str, Any], *, stream: bool = False) -> Call:
    asked = [{"role": "user", "content": messages}] if isinstance(messages, str) else [_message(m) for m in messages]
    return Call("Chat", _body(route, {"messages": asked}, parameters, stream), stream)


def complete(route: str, prompt: Texts, parameters: Mapping[str, Any], *, stream: bool = False) -> Call:
    return Call("Complete", _body(route, {"prompt": _texts(prompt)}, parameters, stream), stream)


def embed(route: str, texts: Texts, parameters: Mapping[str, Any]) -> Call:
    return Call("Embed", _body(route, {"input": _texts(texts)}, parameters, False))


def list_routes(page_token: str) -> Call:
    return Call("ListRoutes", {"page_token": page_token}, repeatable=True)


def get_route(name: str) -> Call:
    return Call("GetRoute", {"name": name}, repeatable=True)


def write_route(call: str, name: str, task: str, model: Json, settings: Json | None) -> Call:
    """CreateRoute or UpdateRoute. `model` is {"provider", "name", "config"} of the config file."""
    unknown = set(model) - {"provider", "name", "config"}
    if unknown:
        raise ValueError(f"model has provider, name and config; not {', '.join(sorted(unknown))}")
    return Call(call, {"name": name, "task": task_of(task), "model": dict(model), "settings": dict(settings or {})})


def delete_route(name: str) -> Call:
    return Call("DeleteRoute", {"name": name})


def get_limits(route: str) -> Call:
    return Call("GetLimits", {"route": route}, repeatable=True)


def set_limits(route: str, limits: Sequence[RateLimit]) -> Call:
    rows = [
        {"unit": each.unit, "count": each.count, "per_seconds": each.per_seconds, "each_consumer": each.each_consumer}
        for each in limits
    ]
    return Call("SetLimits", {"route": route, "limits": rows}, repeatable=True)


def task_of(word: str) -> str:
    """ "chat" or "llm/v1/chat". Raises ValueError."""
    task = word.removeprefix(_TASK_PREFIX)
    if task not in TASKS:
        raise ValueError(f"a task is one of {', '.join(TASKS)} (or {_TASK_PREFIX}chat and so on), not {word!r}")
    return task


def _body(route: str, asked: dict[str, Any], parameters: Mapping[str, Any], stream: bool) -> dict[str, Any]:
    named = {name: value for name, value in parameters.items() if name != "extra" and value is not None}
    extra = parameters.get("extra") or {}
    body: dict[str, Any] = {"model": route, **asked, **named}
    twice = sorted(body.keys() & extra.keys())
    if twice:
        raise ValueError(f"extra repeats {', '.join(twice)}")
    if stream:
        # Without it a stream says nothing of tokens.
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return {**body, **extra}


def _message(message: Message | Json) -> Json:
    return message.as_json() if isinstance(message, Message) else message


def _texts(texts: Texts) -> Any:
    return texts if isinstance(texts, str) else list(texts)
