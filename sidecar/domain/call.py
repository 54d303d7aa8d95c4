"""What a servicer passes to the gateway, and what it gets back. All values are immutable: results are never written
into a call."""

from __future__ import annotations

from typing import Any, NamedTuple

from adapters import Envelope, Task
from sidecar.domain.snapshot import Consumer

# Pairs of name and value, as in gRPC metadata or HTTP headers.
Headers = tuple[tuple[str, str], ...]


class Call(NamedTuple):
    """One call: who calls which route, with what.

    Either `request` (a canonical message) or `envelope` with `client_format` (a body that is not translated yet) is
    set. `deadline` is the caller's, in event loop time; None if the caller set none.
    """

    task: Task
    operation: str  # metric label: chat, stream_chat, complete, stream_complete, embed
    route: str
    consumer: Consumer
    request_id: str
    stream: bool = False
    deadline: float | None = None
    request: Any = None
    envelope: Envelope | None = None
    client_format: str | None = None
    size_bytes: int = 0  # size of what the caller sent
    counts: bool = False  # only asks how many tokens the body has
    compacts: bool = False  # asks for a compacted conversation


class Count(NamedTuple):
    """The number of tokens of a body. `answer` holds the provider's body if the caller speaks its format."""

    answer: Answer
    tokens: int
    estimated: bool


class Answer(NamedTuple):
    """A whole answer: `body` if the provider's bytes pass through unchanged, otherwise `message`.

    `upstream`: name of the upstream that answered.
    `usage`: as that upstream reported it; None if it did not.
    `left_out`: members of the request that the upstream cannot express.
    `headers`: of limits and budgets, as of the end of the call.
    `write_s`: seconds that the client may take to accept a piece of the answer.
    """

    upstream: str
    body: bytes | None
    message: Any
    usage: Any
    left_out: tuple[str, ...]
    headers: Headers
    write_s: float
    size_bytes: int = 0  # of the provider's answer


# A piece of a streamed answer: bytes to pass on, chunks (or their serialised messages), or None for a keepalive.
Piece = bytes | list[Any] | None
