"""Converts arguments to what both transports send: the name of a call and a JSON body.

Chat, completions and embeddings have bodies of OpenAI's format; further members for a provider go into `extra`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, TypedDict, TypeVar

from llm_gateway_client.errors import of_kind
from llm_gateway_client.values import (
    ChatChunk,
    ChatResponse,
    CompletionChunk,
    CompletionResponse,
    EmbedResponse,
    Json,
    Limits,
    Message,
    RateLimit,
    Route,
    RoutePage,
)

T = TypeVar("T")
TASKS = ("chat", "completions", "embeddings")
_TASK_PREFIX = "llm/v1/"

Messages = str | Sequence[Message | Json]
"""A question, or the conversation, oldest message first: Message values or mappings of OpenAI's format."""
Texts = str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]
"""A text, several, or token ids."""


class Sampling(TypedDict, total=False):
    """What chat and completions share. Unset parameters are not sent."""

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
    """Parameters of embed; see EmbedRequest in inference.proto. `encoding_format` "base64" takes a third of the
    bytes."""

    dimensions: int
    encoding_format: str
    user: str
    extra: Json


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One call: the name of an operation and its arguments. `T` is the type of its answer, or of a chunk if
    `stream`. `repeatable`: making it twice is harmless and free. rest_codec.py and grpc_codec.py have a row for
    each name."""

    name: str
    body: Json
    stream: bool = False
    repeatable: bool = False


def chat(route: str, messages: Messages, parameters: Mapping[str, Any]) -> Call[ChatResponse]:
    return Call("Chat", _body(route, _conversation(messages), parameters))


def stream_chat(route: str, messages: Messages, parameters: Mapping[str, Any]) -> Call[ChatChunk]:
    return Call("Chat", _streamed(_body(route, _conversation(messages), parameters)), stream=True)


def complete(route: str, prompt: Texts, parameters: Mapping[str, Any]) -> Call[CompletionResponse]:
    return Call("Complete", _body(route, {"prompt": _texts(prompt)}, parameters))


def stream_complete(route: str, prompt: Texts, parameters: Mapping[str, Any]) -> Call[CompletionChunk]:
    return Call("Complete", _streamed(_body(route, {"prompt": _texts(prompt)}, parameters)), stream=True)


def embed(route: str, texts: Texts, parameters: Mapping[str, Any]) -> Call[EmbedResponse]:
    return Call("Embed", _body(route, {"input": _texts(texts)}, parameters))


def list_routes(page_token: str) -> Call[RoutePage]:
    return Call("ListRoutes", {"page_token": page_token}, repeatable=True)


def get_route(name: str) -> Call[Route]:
    return Call("GetRoute", {"name": _existing(name)}, repeatable=True)


def create_route(name: str, task: str, model: Json, settings: Json | None) -> Call[Route]:
    return Call("CreateRoute", _spec(name, task, model, settings))


def update_route(name: str, task: str, model: Json, settings: Json | None, etag: str = "") -> Call[Route]:
    return Call("UpdateRoute", {**_spec(_existing(name), task, model, settings), "etag": etag})


def delete_route(name: str, etag: str = "") -> Call[None]:
    return Call("DeleteRoute", {"name": _existing(name), "etag": etag})


def get_limits(route: str) -> Call[Limits]:
    return Call("GetLimits", {"route": _existing(route)}, repeatable=True)


def set_limits(route: str, limits: Sequence[RateLimit], etag: str = "") -> Call[Limits]:
    """With `etag` it is not repeatable: a repeated call would not find the version that it builds on."""
    checked = tuple(map(_limit, limits, count()))
    return Call("SetLimits", {"route": _existing(route), "limits": checked, "etag": etag}, repeatable=not etag)


def query(name: str, dialect: str, data: Json, route: Route | None) -> Call[dict[str, Any]]:
    """MLflow's query (mlflow_dialects.py). `route` is needed where the target is gRPC."""
    return Call("Query", {"name": _existing(name), "dialect": dialect, "data": dict(data), "route": route})


def task_of(word: str) -> str:
    """ "chat" or "llm/v1/chat". Raises ValueError."""
    task = word.removeprefix(_TASK_PREFIX)
    if task not in TASKS:
        raise ValueError(f"Unknown task {word!r}. Use one of {', '.join(TASKS)}, also as {_TASK_PREFIX}chat and so on.")
    return task


def _existing(name: str) -> str:
    """The name of a route that there may be. Over REST it is a part of the path, which proxies and HTTP libraries shorten where
    it has dots or doubled slashes, and some of MLflow's paths begin or end in a name of their own: it would be the path of
    something else. The gateway gives no route such a name."""
    _string(name, "name")
    parts = name.split("/")
    taken = len(parts) > 1 and (parts[0] == "limits" or parts[-1] == "mlflow")
    if taken or any(part in ("", ".", "..") for part in parts):
        raise of_kind("route_not_found", f'There is no route "{name[:128]}".', param="name")
    return name


def _string(value: object, param: str) -> None:
    if not isinstance(value, str):
        raise of_kind("invalid_request", f"'{param}' must be a string.", param=param)


def _limit(limit: RateLimit, index: int) -> RateLimit:
    for name, value in (("count", limit.count), ("per_seconds", limit.per_seconds)):
        if type(value) is not int or not -(2**63) <= value < 2**63:
            param = f"limits[{index}].{name}"
            raise of_kind("invalid_request", f"'{param}' must be a whole number.", param=param)
    return limit


def _spec(name: str, task: str, model: Json, settings: Json | None) -> Json:
    """`model` is {"provider", "name", "config"} as in the config file."""
    unknown = set(model) - {"provider", "name", "config"}
    if unknown:
        raise ValueError(f"A model has provider, name and config, not {', '.join(sorted(unknown))}.")
    _string(name, "name")
    for member in ("provider", "name"):
        _string(model.get(member) or "", f"model.{member}")
    return {"name": name, "task": task_of(task), "model": dict(model), "settings": dict(settings or {})}


def _conversation(messages: Messages) -> dict[str, Any]:
    if isinstance(messages, str):
        return {"messages": [{"role": "user", "content": messages}]}
    return {"messages": [each.as_json() if isinstance(each, Message) else each for each in messages]}


def _body(route: str, given: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    named = {name: value for name, value in parameters.items() if name != "extra" and value is not None}
    extra = parameters.get("extra") or {}
    body: dict[str, Any] = {"model": route, **given, **named}
    twice = sorted(body.keys() & extra.keys())
    if twice:
        raise ValueError(f"extra repeats {', '.join(twice)}: give each parameter once.")
    return {**body, **extra}


def _streamed(body: dict[str, Any]) -> dict[str, Any]:
    """Without stream_options, a stream has no usage. The caller's own `extra` takes precedence."""
    return {"stream": True, "stream_options": {"include_usage": True}, **body}


def _texts(texts: Texts) -> Any:
    return texts if isinstance(texts, str) else list(texts)
