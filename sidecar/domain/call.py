"""What a servicer hands to the gateway and what it gets back. Values: what comes of a call is never written into it."""

from __future__ import annotations

from typing import Any, NamedTuple

from adapters import Envelope, Task
from sidecar.domain.snapshot import Consumer

# Names and values, as metadata or HTTP headers have them.
Headers = tuple[tuple[str, str], ...]


class Call(NamedTuple):
    """What a servicer hands over: who calls which route with what.

    Either `request` (a canonical message) or `envelope` with `client_format` (a body not translated yet) is set.
    `deadline` is the caller's, on the event loop's clock; None where the caller set none.
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
    size_bytes: int = 0  # of what the caller sent
    counts: bool = False  # asks only how many tokens the body has
    compacts: bool = False  # asks for the conversation, made shorter


class Count(NamedTuple):
    """Of a body's tokens. `answer` has the provider's body where the caller speaks its format."""

    answer: Answer
    tokens: int
    estimated: bool


class Answer(NamedTuple):
    """A whole answer: `body` where the provider's bytes pass unchanged, else `message`.

    `upstream` served it, `usage` is what that one counted (None: nothing), `left_out` names what of the request had no place
    there. `headers` are those of limits and budgets, as they are after the call. `write_s`: how long the client may take for a
    piece of the answer.
    """

    upstream: str
    body: bytes | None
    message: Any
    usage: Any
    left_out: tuple[str, ...]
    headers: Headers
    write_s: float
    size_bytes: int = 0  # of the provider's


# A piece of a streamed answer: bytes to pass on, chunks (or the bytes of each, as a typed message), or None for "still silent".
Piece = bytes | list[Any] | None
