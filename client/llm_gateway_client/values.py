"""What calls answer: frozen values of our own, the same whether a call went by gRPC or by REST.

`raw` of a whole answer or a chunk is its JSON object in OpenAI's format, with every member that has no field here. It is not part
of a comparison.
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
    """Counts of tokens. None: the provider did not give it."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_input_tokens: int | None = None
    """Of input_tokens."""
    cache_write_tokens: int | None = None
    """Of input_tokens."""
    reasoning_tokens: int | None = None
    """Of output_tokens."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the model wants made. `arguments` is JSON text exactly as the model wrote it; a custom tool has `custom_input`."""

    id: str
    name: str
    arguments: str = ""
    custom_input: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As it goes back to the model."""
        if self.custom_input is not None:
            return {"id": self.id, "type": "custom", "custom": {"name": self.name, "input": self.custom_input}}
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}

    def parsed(self) -> Any:
        """The arguments as a value. Raises ValueError where the model wrote no JSON."""
        return json.loads(self.arguments or "{}")


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token and the natural logarithm of its probability; `utf8` where the provider gives bytes."""

    token: str
    logprob: float
    utf8: bytes | None = None
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Logprobs:
    """Probabilities of the tokens of the text and of the refusal."""

    content: tuple[TokenLogprob, ...] = ()
    refusal: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. In a request also a mapping of OpenAI's shape will do; this one is what answers hold.

    `reasoning` is what the model thought, as far as the provider shows it: to read, it does not go back. `reasoning_details`
    is the same as the provider signed or encrypted it, in order, and goes back with as_json(): providers that sign thoughts
    want them again, unchanged, with the results of the tools that were called.
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
        """As a message of a request."""
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
    """One answer. `finish_reason` is OpenAI's, or the provider's own where OpenAI has none; None: the provider gave none."""

    index: int
    message: Message
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


@dataclass(frozen=True, slots=True)
class ChatResponse:
    """A whole answer. `created` in seconds since 1970; `model` is the provider's name of it."""

    id: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: Usage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    left_out: tuple[str, ...] = ()
    """What of the messages the provider has no place for and was left out, such as "messages[].annotations"."""
    raw: Json = _raw()

    @property
    def text(self) -> str:
        """Of the first choice; "" where it has none."""
        return (self.choices[0].message.content or "") if self.choices else ""


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """Opens a tool call (id and name) or extends it: arguments and custom_input are to be appended."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    custom_input: str | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """What is new in a choice; texts are to be appended."""

    role: str | None = None
    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCallDelta, ...] = ()
    reasoning_details: tuple[Json, ...] = field(default=(), hash=False)
    """Entries with the same `index` belong together: texts and signatures are to be appended."""


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
    """As in ChatResponse; in the first chunk."""
    raw: Json = _raw()

    @property
    def text(self) -> str:
        """What is new in the first choice; "" where nothing is."""
        return "".join(choice.delta.content or "" for choice in self.choices if choice.index == 0)


@dataclass(frozen=True, slots=True)
class CompletionChoice:
    """A continuation, or a piece of one. `logprobs` has the shape of OpenAI's completions."""

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
        """Of the first choice; "" where there is none."""
        return "".join(choice.text for choice in self.choices if choice.index == 0)


CompletionChunk = CompletionResponse


@dataclass(frozen=True, slots=True)
class Embedding:
    """The vector of input number `index`."""

    index: int
    vector: tuple[float, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class EmbedResponse:
    """One vector an input, by index."""

    model: str
    embeddings: tuple[Embedding, ...]
    usage: Usage | None = None
    raw: Json = _raw()

    @property
    def vectors(self) -> list[tuple[float, ...]]:
        return [each.vector for each in self.embeddings]


@dataclass(frozen=True, slots=True)
class Model:
    """What answers a route: a provider, and its own name of the model."""

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
    """Some of the routes. `next_page_token` leads to the next ones; "" after the last."""

    routes: tuple[Route, ...]
    next_page_token: str = ""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`count` of `unit` ("requests", "tokens" or "concurrent") in `per_seconds` seconds, which are 0 for "concurrent" alone."""

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
