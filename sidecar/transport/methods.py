"""Collects methods from the `add_...Servicer_to_server` functions that grpcio-tools generates.

    methods = Methods()
    add_InferenceServiceServicer_to_server(servicer, methods)
    methods.find("/sidecar.v1.InferenceService/Chat")

Only the names that those functions call are implemented.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from sidecar.domain.large_work import LARGE_BYTES
from sidecar.transport.slices import parsed
from sidecar.transport.status import MalformedMessage


@dataclass(frozen=True, slots=True)
class Method:
    """One method.

    `serve` takes a message (or an iterator of messages) and a Context, and returns an awaitable or an async
    iterator. The awaitable of a unary method gives the answer; that of a streaming method gives None and has written
    its messages itself.
    """

    path: str
    serve: Callable[[Any, Any], Any]
    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]
    takes_stream: bool
    gives_stream: bool

    def written(self, message: Any) -> bytes:
        """Serialises a message, which may already be bytes."""
        return message if type(message) is bytes else self.encode(message)

    def read(self, data: bytes) -> Any:
        """Parses a request. Raises MalformedMessage."""
        owner = getattr(self.decode, "__self__", None)  # generated code passes the message's FromString
        try:
            return self.decode(data) if owner is None or len(data) <= LARGE_BYTES else parsed(owner, data)
        except DecodeError:
            raise MalformedMessage(owner.DESCRIPTOR.full_name if owner is not None else "message") from None


class Methods:
    """Stands for a grpcio server in generated code. Must not change once a server uses it."""

    def __init__(self) -> None:
        self._by_path: dict[str, Method] = {}
        self._services: list[str] = []

    @property
    def services(self) -> tuple[str, ...]:
        return tuple(self._services)

    def __iter__(self) -> Iterator[Method]:
        return iter(self._by_path.values())

    def find(self, path: str) -> Method | None:
        return self._by_path.get(path)

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Ignored: generated code registers everything a second time through `add_registered_method_handlers`."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        self._services.append(service)
        for name, handler in handlers.items():
            path = f"/{service}/{name}"
            self._by_path[path] = Method(
                path=path,
                serve=_serve_of(handler),
                decode=handler.request_deserializer,
                encode=handler.response_serializer,
                takes_stream=handler.request_streaming,
                gives_stream=handler.response_streaming,
            )


def _serve_of(handler: Any) -> Callable[[Any, Any], Awaitable[Any]]:
    """Returns the one of grpcio's four handler fields that is set."""
    found: Callable[[Any, Any], Awaitable[Any]] = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )
    return found
