"""The contract of an adapter: pure functions between bytes and the canonical messages of sidecar.v1.

A *format* is a wire dialect (openai, anthropic). Its client side reads callers who speak it; its provider side talks to
upstreams that speak it. Either may be missing, and each is given per task: what is not in the mapping is not supported.

Nothing here does I/O, reads a clock or makes an id: what an adapter needs of the world comes in through `Context`. What is made
for each call is a NamedTuple: a frozen dataclass takes four times as long.
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
    """What a route does; the values are metric labels. The config writes them `llm/v1/<value>`."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"


Request = pb.ChatRequest | pb.CompleteRequest | pb.EmbedRequest
Response = pb.ChatResponse | pb.CompleteResponse | pb.EmbedResponse
Chunk = pb.StreamChatResponse | pb.StreamCompleteResponse
Headers = Mapping[str, str]  # names in lower case


class Context(NamedTuple):
    """What a format may lack and an adapter may not invent."""

    now_s: int  # seconds since 1970
    new_id: Callable[[str], str]  # prefix -> a fresh id that starts with it
    model: str = ""  # the upstream's model, for answers that do not name one


@dataclass(frozen=True, slots=True)
class Provider:
    """A row of data: a provider that speaks a known format."""

    name: str
    format: str  # key of adapters.FORMATS
    base_url: str | None  # None: the config must say it
    auth: str = "bearer"  # how credentials.py puts the key: "bearer", "x-api-key", "api-key", "none"
    key_required: bool = True
    # Config keys (below model.config) -> what they set: "api_key", "base_url", "header:<Name>", "query:<name>", "option:<name>";
    # "setting:<name>" and "secret:<name>" are for sidecar/config/cloud.py. Two keys of one meaning: the first is the usual one.
    config_keys: Mapping[str, str] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()  # always sent, never secret
    include_usage: bool = True  # whether stream_options.include_usage is understood
    # What ends a stream besides the format's own marker. "done": nothing; "finish": the end of the body, once all choices have
    # finished; "close": the end of the body, once there was an answer. A route's option of that name says otherwise.
    stream_end: str = "finish"
    forbidden: frozenset[str] = frozenset()  # request members this provider refuses: refused by name here
    takes: frozenset[str] | None = (
        None  # all request members it knows; others are refused by name here. None: not known
    )
    renamed: Mapping[str, str] = field(default_factory=dict)  # request member -> the provider's name of it
    # Of members.NAMES: what this provider refuses, though its format has it. Left out, and said, where it asks for nothing.
    leaves: frozenset[str] = frozenset()
    tasks: frozenset[Task] = frozenset(Task)  # what it offers, of what its format can say
    options: Mapping[str, Any] = field(default_factory=dict)  # what else the format's code wants to know
    also: tuple[str, ...] = ()  # further formats of chat that it speaks: bodies of their callers pass


@dataclass(frozen=True, slots=True)
class Target:
    """One upstream, as far as an adapter may know it: no key."""

    provider: Provider
    model: str
    base_url: str  # without a trailing slash
    options: Mapping[str, Any] = field(
        default_factory=dict
    )  # from the route: default_max_tokens, drop_params, strict ...
    headers: tuple[tuple[str, str], ...] = ()  # of the upstream, in addition to its provider's; none has a key

    @property
    def stream_end(self) -> str:
        """As in Provider, unless the route has its own."""
        own: str | None = self.options.get("stream_end")
        return own or self.provider.stream_end


class HttpCall(NamedTuple):
    """What to send. The upstream adds credentials, Content-Length and connection headers."""

    url: str
    body: bytes
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)
    callers_headers: tuple[
        tuple[str, str], ...
    ] = ()  # stand in place of the upstream's of the same name; lists are joined
    left_out: tuple[str, ...] = ()  # names of adapters.LEFT_OUT that the provider has no place for, once each


class Envelope(NamedTuple):
    """A caller's JSON body, opened but not translated.

    `members` are the top-level members in their order with their bytes unchanged (values: raw JSON bytes); a duplicate key
    was refused. `model` is the route's name. `include_usage` is what the caller asked for in stream_options (False unset; always
    True where the format has no such question). `headers` are the caller's, of those that its format passes on.
    """

    members: Mapping[str, bytes]
    model: str
    stream: bool
    include_usage: bool
    headers: tuple[tuple[str, str], ...] = ()
    # Members of the answer that only the gateway knows, as JSON, for formats that say what is remembered.
    answers: Mapping[str, bytes] = MappingProxyType({})
    query: str = ""  # what goes to a provider of the same format behind the "?" of its URL


class StreamWriter(Protocol):
    """A translated stream as its caller reads it, for formats whose events depend on those before them.

    `feed` gives the bytes of whole events for canonical chunks, `end` what follows the last one. `failed` is what tells of a
    failure once events have gone out; its second argument is the request's id.
    """

    def feed(self, chunks: list[Any]) -> bytes: ...
    def end(self) -> bytes: ...
    def failed(self, error: GatewayError, request_id: str) -> bytes: ...


class PassedStream(Protocol):
    """A stream whose bytes are the provider's. `passed` is told of each piece (whole events) that goes out, and is cheap;
    `end` gives what is missing behind the last one; `failed` is a StreamWriter's."""

    def passed(self, piece: bytes) -> None: ...
    def end(self) -> bytes: ...
    def failed(self, error: GatewayError, request_id: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class ClientSide:
    """Reads a caller's format and answers in it, for one task.

    `open` and `decode_request` raise GatewayError (invalid_request, with `param`) on anything malformed. `encode_chunk`
    gives the bytes of whole SSE events for one canonical chunk (b"" when there is nothing to say to this caller); its flag
    says whether this caller wants the usage chunk. `stream_end` is what follows the last one (b"data: [DONE]\\n\\n"). `writer`
    takes the place of both where events depend on each other, and `whole` that of `encode_response` where an answer repeats what
    was asked. `fit` changes a decoded request, in a copy, where its meaning
    depends on the upstream (a temperature in another scale). `foreign` names what of a body has no place at an upstream of
    another format and is left out, and raises unsupported_parameter for what cannot be. `read` gives the request and those
    names in one reading, in place of `decode_request` and `foreign`, where they are the same for all upstreams; `leaves` then
    names what `fit` takes out for one of them. `keepalive` is sent while a provider is silent. `passing` ends a stream of the
    provider's own bytes where the format has more to say there than `stream_end`. `headers` names those of the caller's (in
    lower case) that go on to a provider of the same format: every other one ends at the gateway.
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
    """Bytes in any cuts -> events. `feed` raises upstream_protocol for an event that is too large; `close` is the end.
    `between`: the next byte begins an event, and an empty line (two line feeds) ends it."""

    @property
    def between(self) -> bool: ...
    def feed(self, data: bytes) -> list[Event]: ...
    def close(self) -> list[Event]: ...


class Decoder(Protocol):
    """A stream of one call: events in, chunks out.

    `feed` raises GatewayError for an in-band error (by its kind) or for what is not of the format (upstream_protocol).
    `close` is called at the end of the body: it gives what is left, or raises upstream_protocol when the format's own end
    marker did not come. `done` is True once it came; later events are ignored. `repeats`: the last event with other texts in it,
    none of them empty, would give and leave behind the same again, until an event comes of which that is not so.
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

    `encode` raises unsupported_parameter, naming the parameter and the provider, for what the format cannot express, unless
    the target's `drop_params` option lists it. `decode` checks that the body is one whole JSON object of the format, and
    raises upstream_protocol otherwise. `patch_for` and `check` are the same-format path: what `patch_for` gives for an
    upstream, once for a configuration, makes the call out of the caller's own members with only `model` (and, on a stream,
    stream_options.include_usage) changed; `check` validates the answer's bytes and reads usage without translating; for
    embeddings it is told how many inputs there were. A format without them is always translated. `observe` is a cheaper
    `stream` for that path: the same `done`, errors, first output and usage, but chunks that say no more than these, and none
    where there is none.
    """

    encode: Callable[[Any, Target, bool, Context], HttpCall]
    decode: Callable[[bytes, Context], Any]
    stream: Callable[[Target, Context], Decoder] | None
    patch_for: Callable[[Target], Callable[[Envelope], HttpCall]] | None = None
    check: Callable[..., pb.Usage | None] | None = None
    observe: Callable[[Target, Context], Decoder] | None = None
    # How the provider counts a body's tokens without answering it; its `decode` gives the number.
    counting: ProviderSide | None = None
    compacting: ProviderSide | None = None  # how it makes a conversation shorter: `patch_for` and `check`
    framing: Callable[[], Framing] = Parser  # how a stream's bytes are cut into events; most formats stream SSE
    offered: Callable[[Target], bool] = lambda target: True  # whether an upstream of a provider that has it has it too

    @property
    def patch(self) -> Callable[[Envelope, Target], HttpCall] | None:
        """`patch_for` and what it gives in one step: for one body."""
        make = self.patch_for
        return None if make is None else lambda envelope, target: make(target)(envelope)


@dataclass(frozen=True, slots=True)
class Format:
    """A wire dialect. `error(status, headers, body)` names the reason of a failed HTTP answer; it never raises."""

    name: str
    client: Mapping[Task, ClientSide]
    provider: Mapping[Task, ProviderSide]
    error: Callable[[int, Headers, bytes], GatewayError]
    # Client side, for bodies that belong to no task: error bodies {"error": ...} and the in-band error event of a stream.
    encode_error: Callable[[str, str, str | None, str | None], bytes] | None = None  # (type, message, param, code)
    encode_stream_error: Callable[[str, str, str | None, str | None], bytes] | None = None
    # Provider side: where its calls go below a base URL. A base URL that ends in one was copied from a provider's page, and the
    # config takes the ending off. `{model}` stands for the model's name, escaped.
    paths: tuple[str, ...] = ()
