"""The sync client. async_client.py is the same with `await`; tests hold the two together."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack

from llm_gateway_client import json_values as reading
from llm_gateway_client import requests
from llm_gateway_client.requests import Call, ChatParameters, CompletionParameters, EmbedParameters, Messages, Texts
from llm_gateway_client.retry_policy import RETRIES, Retries
from llm_gateway_client.retrying import Stream, Transport, chunks, unary
from llm_gateway_client.targets import Target, resolve
from llm_gateway_client.values import (
    ChatChunk,
    ChatResponse,
    CompletionChunk,
    CompletionResponse,
    EmbedResponse,
    Json,
    RateLimit,
    Route,
)

T = TypeVar("T")
# As the OpenAI SDKs: a long answer takes minutes. The gateway has shorter limits of its own where it matters.
TIMEOUT_S = 600.0
# A gRPC connection lives on one worker; of four, some live on each of two workers nearly always.
CHANNELS = 4


class Client:
    """Calls one gateway; threads may share it. `target` and credentials: llm_gateway_client/targets.py.

    `timeout_s` is for a whole call, retries included; each method takes its own. `retries` None: none. `channels` is the
    number of gRPC connections; `http2` is for REST and needs httpx[http2]. Calls raise SidecarError's subclasses, and
    ValueError for arguments that mean nothing.
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
        self._transport.close()

    @property
    def address(self) -> str:
        """Without a credential."""
        return self._target.address

    @property
    def is_rest(self) -> bool:
        return self._target.rest

    def chat(
        self, route: str, messages: Messages, *, timeout_s: float | None = None, **parameters: Unpack[ChatParameters]
    ) -> ChatResponse:
        """Answers a conversation in one message."""
        return reading.read_chat(self.call(requests.chat(route, messages, parameters), timeout_s))

    def stream_chat(
        self, route: str, messages: Messages, *, timeout_s: float | None = None, **parameters: Unpack[ChatParameters]
    ) -> Stream[ChatChunk]:
        """Answers as it is produced. The call begins with the first chunk that is asked for."""
        return self._stream(requests.chat(route, messages, parameters, stream=True), timeout_s, reading.read_chat_chunk)

    def complete(
        self, route: str, prompt: Texts, *, timeout_s: float | None = None, **parameters: Unpack[CompletionParameters]
    ) -> CompletionResponse:
        """Continues a text."""
        return reading.read_completion(self.call(requests.complete(route, prompt, parameters), timeout_s))

    def stream_complete(
        self, route: str, prompt: Texts, *, timeout_s: float | None = None, **parameters: Unpack[CompletionParameters]
    ) -> Stream[CompletionChunk]:
        """Continues a text as it is produced."""
        return self._stream(
            requests.complete(route, prompt, parameters, stream=True), timeout_s, reading.read_completion
        )

    def embed(
        self, route: str, texts: Texts, *, timeout_s: float | None = None, **parameters: Unpack[EmbedParameters]
    ) -> EmbedResponse:
        """Turns texts into vectors."""
        return reading.read_embeddings(self.call(requests.embed(route, texts, parameters), timeout_s))

    def list_routes(self, *, timeout_s: float | None = None) -> list[Route]:
        """All routes that this caller may call, in the order of the config."""
        routes: list[Route] = []
        page_token = ""
        while True:
            page = self.call(requests.list_routes(page_token), timeout_s)
            routes += [reading.read_route(each) for each in page["routes"]]
            page_token = page["next_page_token"]
            if not page_token:
                return routes

    def get_route(self, name: str, *, timeout_s: float | None = None) -> Route:
        return reading.read_route(self.call(requests.get_route(name), timeout_s))

    def create_route(
        self,
        name: str,
        task: str,
        model: Json,
        *,
        settings: Json | None = None,
        timeout_s: float | None = None,
    ) -> Route:
        """For admins. `task` is "chat" or "llm/v1/chat" and so on, `model` the config's {"provider", "name", "config"},
        `settings` further keys of a route of the config. Keys stand in `config` as they are."""
        call = requests.write_route("CreateRoute", name, task, model, settings)
        return reading.read_route(self.call(call, timeout_s))

    def update_route(
        self,
        name: str,
        task: str,
        model: Json,
        *,
        settings: Json | None = None,
        timeout_s: float | None = None,
    ) -> Route:
        """Replaces a route that create_route made, whole."""
        call = requests.write_route("UpdateRoute", name, task, model, settings)
        return reading.read_route(self.call(call, timeout_s))

    def delete_route(self, name: str, *, timeout_s: float | None = None) -> None:
        self.call(requests.delete_route(name), timeout_s)

    def get_limits(self, route: str, *, timeout_s: float | None = None) -> list[RateLimit]:
        return reading.read_limits(self.call(requests.get_limits(route), timeout_s))

    def set_limits(self, route: str, limits: Sequence[RateLimit], *, timeout_s: float | None = None) -> list[RateLimit]:
        """Replaces all limits of a route, for admins; returns what holds now."""
        return reading.read_limits(self.call(requests.set_limits(route, limits), timeout_s))

    def call(self, call: Call, timeout_s: float | None = None) -> Json:
        """One call of requests.py, as JSON. What the methods above stand on."""
        return unary(self._transport, call, self._retries, self._timeout_s if timeout_s is None else timeout_s)

    def _stream(self, call: Call, timeout_s: float | None, read: Callable[[Json], T]) -> Stream[T]:
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        return Stream(chunks(self._transport, call, self._retries, limit_s), read)


def _transport(target: Target, channels: int, http2: bool) -> Transport:
    """gRPC is imported where it is used: REST needs httpx alone."""
    if target.rest:
        from llm_gateway_client.rest_transport import RestTransport

        return RestTransport(target, http2)
    from llm_gateway_client.grpc_transport import GrpcTransport

    return GrpcTransport(target, channels)
