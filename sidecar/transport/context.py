"""What a servicer needs of its call. Two transports implement it: `call.Call` and `grpcio_server`."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from enum import Enum
from typing import Any, Never, Protocol

from sidecar.transport.metadata import Pair


class Listener(Enum):
    """Where a call came in, which says who makes it: files and addresses differ in who can reach them."""

    FRONT = "front"
    """The front proxy's unix socket."""
    LOCAL = "local"
    """The unix socket or the loopback port for services on this machine."""


class Context(Protocol):
    """One call. A caller that leaves cancels it: the handler sees CancelledError at whatever it waits for."""

    @property
    def listener(self) -> Listener: ...

    @property
    def request_bytes(self) -> int:
        """Of the request's message, unpacked."""

    def peer(self) -> str:
        """`ipv4:127.0.0.1:40000` or `unix:`."""

    def invocation_metadata(self) -> Sequence[Pair]:
        """The caller's, without what the protocol keeps for itself. Values of `-bin` keys are bytes, all others text."""

    @property
    def deadline(self) -> float | None:
        """The caller's, on the event loop's clock; None where it set none."""

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline, None where it set none."""

    async def send_initial_metadata(self, metadata: Sequence[Pair]) -> None:
        """At most once, before the first message. Without it an empty one goes with the first message."""

    def set_trailing_metadata(self, metadata: Sequence[Pair]) -> None:
        """Replaces what was set before; sent at the end of the call, however it ends."""

    def trailing_metadata(self) -> Sequence[Pair]:
        """What was set."""

    async def write(self, message: Any) -> None:
        """Sends a message of a stream; waits while the client or the socket has no room."""

    def begin_write(self, *messages: Any) -> Awaitable[None] | None:
        """`write` of one or more messages, without a coroutine for what need not wait: sends what goes at once. None: all of it
        did. Else await the result before anything else is done with the call. A message may be given as its bytes."""

    def begin_answer(self, metadata: Sequence[Pair], *messages: Any) -> Awaitable[None] | None:
        """`send_initial_metadata` and `begin_write` in one step."""

    async def abort(self, code: Any, message: str = "", trailing_metadata: Sequence[Pair] = ()) -> Never:
        """Ends the call with a status (an int or a `grpc.StatusCode`); its trailing metadata is this. Always raises Aborted."""
