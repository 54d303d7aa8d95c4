"""The contract of an adapter: pure functions between bytes and the canonical messages of sidecar.v1.

A *format* is a wire dialect (openai, anthropic). Its client side reads callers that use it; its provider side talks
to upstreams that use it. Either may be missing, and each is defined per task: a task that is not in the mapping is
not supported.

Nothing here does I/O, reads a clock or creates ids: `Context` provides what an adapter needs. Values created per
call are NamedTuples: constructing a frozen dataclass takes four times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from adapters.errors import GatewayError
from adapters.sse import Event, Parser
from sidecar.v1 import inference_pb2 as pb


class Task(StrEnum):
    """What a route does; the values are metric labels. In the config they are `llm/v1/<value>`."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"


Request = pb.ChatRequest | pb.CompleteRequest | pb.EmbedRequest
Response = pb.ChatResponse | pb.CompleteResponse | pb.EmbedResponse
Chunk = pb.StreamChatResponse | pb.StreamCompleteResponse
Headers = Mapping[str, str]  # names in lower case


class Context(NamedTuple):
    """Values that a format may lack and an adapter cannot make up."""

    now_s: int  # Unix time
    new_id: Callable[[str], str]  # prefix -> a new id that starts with it
    model: str = ""  # the upstream's model, for answers without one


@dataclass(frozen=True, slots=True)
class Provider:
    """A row of data: a provider that uses a known format."""

    name: str
    format: str  # key of adapters.FORMATS
    base_url: str | None  # None: required in the config
    auth: str = "bearer"  # how credentials.py sends the key: "bearer", "x-api-key", "api-key", "none"
    key_required: bool = True
    # Config keys (below model.config) -> what they set: "api_key", "base_url", "header:<Name>", "query:<name>",
    # "option:<name>"; "setting:<name>" and "secret:<name>" are for sidecar/config/cloud.py. Of two keys with the
    # same meaning, the first is the usual one.
    config_keys: Mapping[str, str] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()  # always sent, never secret
    include_usage: bool = True  # whether stream_options.include_usage is supported
    # What ends a stream besides the format's end marker. "done": nothing; "finish": the end of the body, once all
    # choices have finished; "close": the end of the body, once there was an answer. A route's option of that name
    # overrides it.
    stream_end: str = "finish"
    forbidden: frozenset[str] = frozenset()  # request members that this provider refuses: refused here by name
    takes: frozenset[str] | None = (
        None  # all request members that it knows; others are refused here by name. None: unknown
    )
    renamed: Mapping[str, str] = field(default_factory=dict)  # request member -> the provider's name for it
    # Names of members.NAMES that this provider refuses although its format has them. Left out and reported if they
    # have no effect.
    leaves: frozenset[str] = frozenset()
    tasks: frozenset[Task] = frozenset(Task)  # what it offers, of what its format supports
    options: Mapping[str, Any] = field(default_factory=dict)  # further settings for the format's code
    also: tuple[str, ...] = ()  # further chat formats that it supports: bodies of their callers pass through


@dataclass(frozen=True, slots=True)
class Target:
    """One upstream, as far as an adapter may know it: without a key."""

    provider: Provider
    model: str
    base_url: str  # without a trailing slash
    options: Mapping[str, Any] = field(
        default_factory=dict
    )  # from the route: default_max_tokens, drop_params, strict ...
    headers: tuple[tuple[str, str], ...] = ()  # of the upstream, in addition to its provider's; none contains a key

    @property
    def stream_end(self) -> str:
        """As in Provider, unless the route overrides it."""
        own: str | None = self.options.get("stream_end")
        return own or self.provider.stream_end


class HttpCall(NamedTuple):
    """What to send. The upstream client adds credentials, Content-Length and connection headers."""

    url: str
    body: bytes
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)
    callers_headers: tuple[
        tuple[str, str], ...
    ] = ()  # replace the upstream's headers of the same name; lists are joined
    left_out: tuple[str, ...] = ()  # names of adapters.LEFT_OUT that the provider does not support, once each


class Envelope(NamedTuple):
    """A caller's JSON body, opened but not translated.

    `members`: the top-level members in order, as raw JSON bytes; duplicate keys have been refused.
    `model`: the route's name.
    `include_usage`: what the caller requested in stream_options (False if unset; always True if the format has no
    such option).
    `headers`: those of the caller's headers that its format passes on.
    """

    members: Mapping[str, bytes]
    model: str
    stream: bool
    include_usage: bool
    headers: tuple[tuple[str, str], ...] = ()
    # Members of the answer that only the gateway knows, as JSON, for formats that report what is stored.
    answers: Mapping[str, bytes] = MappingProxyType({})
    query: str = ""  # query string for a provider of the same format


class StreamWriter(Protocol):
    """Encodes a translated stream for the caller, for formats whose events depend on earlier ones.

    `feed` returns complete events for canonical chunks, `end` what follows the last one. `failed` returns the event
    that reports a failure after events have been sent; its second argument is the request id.
    """

    def feed(self, chunks: list[Any]) -> bytes: ...
    def end(self) -> bytes: ...
    def failed(self, error: GatewayError, request_id: str) -> bytes: ...


class PassedStream(Protocol):
    """A stream whose bytes pass through.

    `passed` is called with each piece (complete events) that is sent, and is cheap; `end` returns what is missing
    after the last one; `failed` is a StreamWriter's.
    """

    def passed(self, piece: bytes) -> None: ...
    def end(self) -> bytes: ...
    def failed(self, error: GatewayError, request_id: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class ClientSide:
    r"""Reads a caller's format and answers in it, for one task.

    `open`, `decode_request`: raise GatewayError (invalid_request, with `param`) for anything malformed.
    `encode_chunk`: returns complete SSE events for one canonical chunk (b"" if this caller needs none); its flag
    says whether the caller wants the usage chunk.
    `stream_end`: follows the last event (b"data: [DONE]\n\n").
    `writer`: replaces both if events depend on each other.
    `whole`: replaces `encode_response` if an answer repeats parts of the request.
    `fit`: adapts a decoded request, in a copy, if its meaning depends on the upstream (another temperature scale).
    `foreign`: names what an upstream of another format does not support and is left out; raises
    unsupported_parameter for what must not be.
    `read`: replaces `decode_request` and `foreign` with one pass, if the names are the same for all upstreams.
    `leaves`: then names what `fit` removes for one upstream.
    `keepalive`: sent while a provider is silent.
    `passing`: ends a stream of passed-through bytes if the format needs more than `stream_end`.
    `headers`: the caller's headers (lower case) that go to a provider of the same format; all others end at the
    gateway.
    """

    open: Callable[[bytes], Envelope]
    decode_request: Callable[[Envelope], Request]
    encode_response: Callable[[Any], bytes]
    encode_chunk: Callable[[Any, bool], bytes] | None
    stream_end: bytes = b""
    fit: Callable[[Any, Target], Any] | None = None
    writer: Callable[[Envelope, Context], StreamWriter] | None = None
    whole: Callable[[Envelope, Any, Context], bytes] | None = None
    foreign: Callable[[Envelope, Target], tuple[str, ...]] | None = None
    read: Callable[[Envelope], tuple[Request, tuple[str, ...]]] | None = None
    keepalive: bytes = b": keep-alive\n\n"
    headers: tuple[str, ...] = ()
    passing: Callable[[Envelope, Context], PassedStream] | None = None
    leaves: Callable[[Any, Target], tuple[str, ...]] | None = None

    @property
    def streams(self) -> bool:
        return self.encode_chunk is not None or self.writer is not None


class Framing(Protocol):
    """Splits bytes into events. `feed` raises upstream_protocol for an event that is too large; `close` is the end.
    `between`: the next byte begins an event, and an empty line (two line feeds) ends it."""

    @property
    def between(self) -> bool: ...
    def feed(self, data: bytes) -> list[Event]: ...
    def close(self) -> list[Event]: ...


class Decoder(Protocol):
    """Decodes the stream of one call.

    `feed` raises GatewayError for an in-band error (with its kind), or upstream_protocol for anything that is not of
    the format. `close` is called at the end of the body: it returns what is left, or raises upstream_protocol if the
    format's end marker is missing. `done` is True after the marker; later events are ignored. `repeats`: the same
    event with other, non-empty texts would give the same chunks and leave the same state, until an event arrives for
    which that is not true.
    """

    @property
    def done(self) -> bool: ...
    @property
    def repeats(self) -> bool: ...
    def feed(self, event: Event) -> list[Any]: ...
    def close(self) -> list[Any]: ...


@dataclass(frozen=True, slots=True)
class ProviderSide:
    """Talks to upstreams of a format, for one task.

    `encode`: raises unsupported_parameter, naming parameter and provider, for what the format cannot express, unless
    the target's `drop_params` lists it.
    `decode`: raises upstream_protocol unless the body is one complete JSON object of the format.
    `patch_for`: for bodies that pass through. Called once per upstream and configuration; the result makes the call
    from the caller's members, only changing `model` (and stream_options.include_usage).
    `check`: validates a passed-through answer and reads its usage; for embeddings it is given the number of inputs.
    `observe`: a cheaper `stream` for passed-through streams, with the same `done`, errors, first output and usage.
    """

    encode: Callable[[Any, Target, bool, Context], HttpCall]
    decode: Callable[[bytes, Context], Any]
    stream: Callable[[Target, Context], Decoder] | None
    patch_for: Callable[[Target], Callable[[Envelope], HttpCall]] | None = None
    check: Callable[..., pb.Usage | None] | None = None
    observe: Callable[[Target, Context], Decoder] | None = None
    # Counts a body's tokens without answering; its `decode` returns the number.
    counting: ProviderSide | None = None
    compacting: ProviderSide | None = None  # compacts a conversation: `patch_for` and `check`
    framing: Callable[[], Framing] = Parser  # how a stream is split into events; most formats use SSE
    offered: Callable[[Target], bool] = lambda target: True  # whether this upstream offers it, if its provider does

    @property
    def patch(self) -> Callable[[Envelope, Target], HttpCall] | None:
        """`patch_for` and its result in one step, for a single body."""
        make = self.patch_for
        return None if make is None else lambda envelope, target: make(target)(envelope)


@dataclass(frozen=True, slots=True)
class Format:
    """A wire dialect. `error(status, headers, body)` classifies a failed HTTP answer and never raises."""

    name: str
    client: Mapping[Task, ClientSide]
    provider: Mapping[Task, ProviderSide]
    error: Callable[[int, Headers, bytes], GatewayError]
    # Client side, for errors outside of a task: error bodies {"error": ...} and the in-band error event of a stream.
    encode_error: Callable[[str, str, str | None, str | None], bytes] | None = None  # (type, message, param, code)
    encode_stream_error: Callable[[str, str, str | None, str | None], bytes] | None = None
    # Provider side: the paths of its calls below a base URL. A base URL that ends in one was copied from a
    # provider's page, and the config removes the ending. `{model}` stands for the model's name, escaped.
    paths: tuple[str, ...] = ()
