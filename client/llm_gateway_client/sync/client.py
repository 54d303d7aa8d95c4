# Generated from aio/client.py by tools/sync_client.py.
"""The client: every method makes a call of requests.py through retrying.py."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack

from llm_gateway_client import requests
from llm_gateway_client.requests import Call, ChatParameters, CompletionParameters, EmbedParameters, Messages, Texts
from llm_gateway_client.retry_policy import RETRIES, Retries
from llm_gateway_client.sync.retrying import Stream, Transport, chunks, unary
from llm_gateway_client.targets import Target, resolve
from llm_gateway_client.values import (
    ChatChunk,
    ChatResponse,
    CompletionChunk,
    CompletionResponse,
    EmbedResponse,
    Json,
    Limits,
    RateLimit,
    Route,
)

T = TypeVar("T")
# As in the OpenAI SDKs: a long answer takes minutes. The gateway has its own, shorter limits.
TIMEOUT_S = 600.0
# A gRPC connection is served by one worker; four connections nearly always reach two workers.
CHANNELS = 4


class Client:
    """Calls one gateway. Threads may share it.

    `target` and credentials: see targets.py. `timeout_s` applies to a whole call, including retries; methods can
    override it. `retries`: None turns them off. `channels` is the number of gRPC connections; `http2` is for REST
    and needs the extra `http2`. Raises TargetError. Calls raise subclasses of SidecarError, and ValueError for
    invalid arguments.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        user: str | None = None,
        password: str | None = None,
        api_key: str | None = None,
        ca: str | os.PathLike[str] | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: Retries | None = RETRIES,
        channels: int = CHANNELS,
        http2: bool = False,
    ) -> None:
        self._target = resolve(target, user=user, password=password, api_key=api_key, ca=ca)
        self._timeout_s = timeout_s
        self._retries = retries or Retries(attempts_max=1)
        self._transport = _transport(self._target, max(1, channels), http2)

    def __repr__(self) -> str:
        return f"Client({self._target.address!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes all connections, cancelling calls in progress."""
        self._transport.close()

    @property
    def address(self) -> str:
        """The gateway's address, without credentials."""
        return self._target.address

    @property
    def is_rest(self) -> bool:
        """Whether calls use REST; otherwise they use gRPC."""
        return self._target.rest

    def chat(
        self, route: str, messages: Messages, *, timeout_s: float | None = None, **parameters: Unpack[ChatParameters]
    ) -> ChatResponse:
        """Returns the answer to a conversation. `messages` is a question, or the conversation, oldest message
        first."""
        return self.call(requests.chat(route, messages, parameters), timeout_s)

    def stream_chat(
        self, route: str, messages: Messages, *, timeout_s: float | None = None, **parameters: Unpack[ChatParameters]
    ) -> Stream[ChatChunk]:
        """Streams the answer to a conversation; the last chunk has the usage. The call starts when the first chunk
        is read."""
        return self._stream(requests.stream_chat(route, messages, parameters), timeout_s)

    def complete(
        self, route: str, prompt: Texts, *, timeout_s: float | None = None, **parameters: Unpack[CompletionParameters]
    ) -> CompletionResponse:
        """Continues a text, or each of several."""
        return self.call(requests.complete(route, prompt, parameters), timeout_s)

    def stream_complete(
        self, route: str, prompt: Texts, *, timeout_s: float | None = None, **parameters: Unpack[CompletionParameters]
    ) -> Stream[CompletionChunk]:
        """Streams the continuation of a text; see stream_chat."""
        return self._stream(requests.stream_complete(route, prompt, parameters), timeout_s)

    def embed(
        self, route: str, texts: Texts, *, timeout_s: float | None = None, **parameters: Unpack[EmbedParameters]
    ) -> EmbedResponse:
        """Returns a vector for each text."""
        return self.call(requests.embed(route, texts, parameters), timeout_s)

    def list_routes(self, *, timeout_s: float | None = None) -> list[Route]:
        """Returns all routes that this caller may call, in the order of the config. `timeout_s` applies to each
        page of at least 1,000."""
        routes: list[Route] = []
        page_token = ""
        while True:
            page = self.call(requests.list_routes(page_token), timeout_s)
            routes += page.routes
            page_token = page.next_page_token
            if not page_token:
                return routes

    def get_route(self, name: str, *, timeout_s: float | None = None) -> Route:
        """Returns a route. Raises NotFound if it does not exist, or this caller may not call it."""
        return self.call(requests.get_route(name), timeout_s)

    def create_route(
        self,
        name: str,
        task: str,
        model: Json,
        *,
        settings: Json | None = None,
        timeout_s: float | None = None,
    ) -> Route:
        """Creates a route. For admins, if the config has `manage_routes: true`.

        `task` is "chat", "completions" or "embeddings", also as "llm/v1/chat"; `model` is {"provider", "name",
        "config"} as in the config file, with API keys in plain text in `config`; `settings` are further keys of a
        route in the config file. Raises Conflict if the name is taken.
        """
        return self.call(requests.create_route(name, task, model, settings), timeout_s)

    def update_route(
        self,
        name: str,
        task: str,
        model: Json,
        *,
        settings: Json | None = None,
        etag: str = "",
        timeout_s: float | None = None,
    ) -> Route:
        """Replaces a route that create_route made, whole. `etag`: only if this is its version. Raises Conflict for another
        version, whose `etag` is the one that holds, and for a route of the config file."""
        return self.call(requests.update_route(name, task, model, settings, etag), timeout_s)

    def delete_route(self, name: str, *, etag: str = "", timeout_s: float | None = None) -> None:
        """Removes a route that create_route made, with its key and its limits; calls in progress finish. Raises as
        update_route."""
        self.call(requests.delete_route(name, etag), timeout_s)

    def get_limits(self, route: str, *, timeout_s: float | None = None) -> Limits:
        """By REST only those on requests; the others are not in the answer."""
        return self.call(requests.get_limits(route), timeout_s)

    def set_limits(
        self, route: str, limits: Sequence[RateLimit], *, etag: str = "", timeout_s: float | None = None
    ) -> Limits:
        """Replaces all limits of a route, for admins; returns those that hold now. `etag`: only if this is their version, else
        Conflict. By REST: all on requests, and ValueError for others."""
        return self.call(requests.set_limits(route, limits, etag), timeout_s)

    def call(self, call: Call[T], timeout_s: float | None = None) -> T:
        """Makes a call of requests.py; all methods above use this."""
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        return unary(self._transport, call, self._retries, limit_s)

    def _stream(self, call: Call[T], timeout_s: float | None) -> Stream[T]:
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        return Stream(chunks(self._transport, call, self._retries, limit_s))


def _transport(target: Target, channels: int, http2: bool) -> Transport:
    """gRPC is imported late, because REST needs httpx alone."""
    if target.rest:
        from llm_gateway_client.sync.rest_transport import RestTransport

        return RestTransport(target, http2)
    try:
        from llm_gateway_client.sync.grpc_transport import GrpcTransport
    except ModuleNotFoundError as error:
        raise ImportError("A gRPC target needs grpcio: pip install 'llm-gateway-client[grpc]'.") from error
    return GrpcTransport(target, channels)
