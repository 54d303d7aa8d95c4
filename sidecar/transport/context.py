"""What a servicer can do with its call. Two transports implement it: `call.Call` and `grpcio_server`."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from enum import Enum
from typing import Any, Never, Protocol

from sidecar.transport.metadata import Pair


class Listener(Enum):
    """Where a call came in. This determines who the caller is, because access to each listener is restricted
    differently."""

    FRONT = "front"
    """The front proxy's unix socket."""
    LOCAL = "local"
    """The unix socket or loopback port for services on this machine."""


class Context(Protocol):
    """One call. If the caller leaves, the handler sees CancelledError wherever it waits."""

    @property
    def listener(self) -> Listener: ...

    @property
    def request_bytes(self) -> int:
        """Size of the request message, decompressed."""

    def peer(self) -> str:
        """`ipv4:127.0.0.1:40000` or `unix:`."""

    def invocation_metadata(self) -> Sequence[Pair]:
        """The caller's metadata, without what the protocol reserves. Values of `-bin` keys are bytes, all others
        text."""

    @property
    def deadline(self) -> float | None:
        """The caller's deadline in event loop time; None if it set none."""

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None if it set none."""

    async def send_initial_metadata(self, metadata: Sequence[Pair]) -> None:
        """Sends the initial metadata. At most once, before the first message, which otherwise carries empty
        metadata."""

    def set_trailing_metadata(self, metadata: Sequence[Pair]) -> None:
        """Replaces the trailing metadata, which is sent when the call ends, however it ends."""

    def trailing_metadata(self) -> Sequence[Pair]:
        """The trailing metadata set so far."""

    async def write(self, message: Any) -> None:
        """Sends a message of a stream. Waits while the client or the socket has no room."""

    def begin_write(self, *messages: Any) -> Awaitable[None] | None:
        """Like `write` for one or more messages, without a coroutine if nothing has to wait: sends what fits at
        once. Returns None if that is everything; otherwise await the result before doing anything else with the
        call. Messages may be given in serialised form."""

    def begin_answer(self, metadata: Sequence[Pair], *messages: Any) -> Awaitable[None] | None:
        """`send_initial_metadata` and `begin_write` in one step."""

    async def abort(self, code: Any, message: str = "", trailing_metadata: Sequence[Pair] = ()) -> Never:
        """Ends the call with a status (an int or a `grpc.StatusCode`) and this trailing metadata. Always raises
        Aborted."""
