"""The results of calls: frozen values, the same for gRPC and REST.

`raw` of a whole answer or a chunk is its JSON object in OpenAI's format, with every member that has no field here.
It is ignored in comparisons.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]


def _raw() -> Any:
    return field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts. None: the provider did not report it."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_input_tokens: int | None = None
    """Part of input_tokens."""
    cache_write_tokens: int | None = None
    """Part of input_tokens."""
    reasoning_tokens: int | None = None
    """Part of output_tokens."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model requests. `arguments` is JSON text exactly as the model wrote it; a custom tool has
    `custom_input`."""

    id: str
    name: str
    arguments: str = ""
    custom_input: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The form in which it is sent back to the model."""
        if self.custom_input is not None:
            return {"id": self.id, "type": "custom", "custom": {"name": self.name, "input": self.custom_input}}
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}

    def parsed(self) -> Any:
        """The parsed arguments. Raises ValueError if the model wrote invalid JSON."""
        return json.loads(self.arguments or "{}")


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token and the natural logarithm of its probability; `utf8` if the provider gives bytes."""

    token: str
    logprob: float
    utf8: bytes | None = None
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Logprobs:
    """Log probabilities of the tokens of the text and of the refusal."""

    content: tuple[TokenLogprob, ...] = ()
    refusal: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. Requests also accept mappings in OpenAI's format; answers contain this class.

    `reasoning` is what the model thought, as far as the provider shows it: for reading, it is not sent back.
    `reasoning_details` is the same as signed or encrypted by the provider, in order, and is sent back by as_json():
    providers that sign reasoning require it again, unchanged, with the results of tool calls.
    """

    role: str
    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    reasoning_details: tuple[Json, ...] = field(default=(), hash=False)

    def as_json(self) -> dict[str, Any]:
        """The form of a message in a request."""
        out: dict[str, Any] = {"role": self.role}
        if self.content is not None or not (self.tool_calls or self.refusal):
            out["content"] = self.content or ""
        for name in ("refusal", "tool_call_id", "name"):
            if (value := getattr(self, name)) is not None:
                out[name] = value
        if self.tool_calls:
            out["tool_calls"] = [call.as_json() for call in self.tool_calls]
        if self.reasoning_details:
            out["reasoning_details"] = list(self.reasoning_details)
        return out


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer. `finish_reason` is OpenAI's, or the provider's own if OpenAI has none; None if the provider gave
    none."""

    index: int
    message: Message
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


@dataclass(frozen=True, slots=True)
class ChatResponse:
    """A whole answer. `created` is a Unix time; `model` is the provider's name for it."""

    id: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: Usage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    left_out: tuple[str, ...] = ()
    """Members of the request that the provider does not support and that were left out, such as
    "messages[].annotations"."""
    raw: Json = _raw()

    @property
    def text(self) -> str:
        """The text of the first choice; "" if it has none."""
        return (self.choices[0].message.content or "") if self.choices else ""


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """Opens a tool call (id and name) or extends it: arguments and custom_input are to be concatenated."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    custom_input: str | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """What is new in a choice; texts are to be concatenated."""

    role: str | None = None
    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCallDelta, ...] = ()
    reasoning_details: tuple[Json, ...] = field(default=(), hash=False)
    """Entries with the same `index` belong together: texts and signatures are to be concatenated."""


@dataclass(frozen=True, slots=True)
class ChunkChoice:
    """A piece of one choice. The last one has `finish_reason`."""

    index: int
    delta: Delta
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


@dataclass(frozen=True, slots=True)
class ChatChunk:
    """A piece of a streamed answer. The last one has `usage`, and may have no choices."""

    id: str
    created: int
    model: str
    choices: tuple[ChunkChoice, ...]
    usage: Usage | None = None
    left_out: tuple[str, ...] = ()
    """As in ChatResponse; only in the first chunk."""
    raw: Json = _raw()

    @property
    def text(self) -> str:
        """The new text of the first choice; "" if there is none."""
        return "".join(choice.delta.content or "" for choice in self.choices if choice.index == 0)


@dataclass(frozen=True, slots=True)
class CompletionChoice:
    """A continuation, or a piece of one. `logprobs` has the format of OpenAI's completions."""

    index: int
    text: str
    finish_reason: str | None = None
    logprobs: Json | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class CompletionResponse:
    """A whole continuation, or a chunk of a streamed one."""

    id: str
    created: int
    model: str
    choices: tuple[CompletionChoice, ...]
    usage: Usage | None = None
    system_fingerprint: str | None = None
    raw: Json = _raw()

    @property
    def text(self) -> str:
        """The text of the first choice; "" if there is none."""
        return "".join(choice.text for choice in self.choices if choice.index == 0)


CompletionChunk = CompletionResponse


@dataclass(frozen=True, slots=True)
class Embedding:
    """The vector of the input with number `index`."""

    index: int
    vector: tuple[float, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class EmbedResponse:
    """One vector per input, by index."""

    model: str
    embeddings: tuple[Embedding, ...]
    usage: Usage | None = None
    raw: Json = _raw()

    @property
    def vectors(self) -> list[tuple[float, ...]]:
        return [each.vector for each in self.embeddings]


@dataclass(frozen=True, slots=True)
class Model:
    """What serves a route: a provider, and its own name for the model."""

    provider: str
    name: str


@dataclass(frozen=True, slots=True)
class Route:
    """A public name. `task` is "chat", "completions" or "embeddings". `etag` is the version of a route that is managed through
    the API; "" for one of the config file, and in lists by REST."""

    name: str
    task: str
    model: Model
    etag: str = field(default="", compare=False)

    @property
    def route_type(self) -> str:
        """The task as the config and MLflow write it."""
        return f"llm/v1/{self.task}"

    @property
    def route_url(self) -> str:
        return f"/gateway/{self.name}/invocations"


@dataclass(frozen=True, slots=True)
class RoutePage:
    """Some of the routes. `next_page_token` leads to the next page; "" on the last one."""

    routes: tuple[Route, ...]
    next_page_token: str = ""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`count` of `unit` ("requests", "tokens" or "concurrent") per `per_seconds` seconds, which is 0 only for
    "concurrent"."""

    unit: str
    count: int
    per_seconds: int = 60
    each_consumer: bool = False
    """Whether each consumer has an allowance of its own; otherwise all share one."""


class Limits(list[RateLimit]):
    """The limits of a route. `etag` is their version."""

    def __init__(self, limits: Iterable[RateLimit] = (), etag: str = "") -> None:
        super().__init__(limits)
        self.etag = etag
