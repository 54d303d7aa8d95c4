"""What a servicer hands to the gateway and what it gets back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adapters import Envelope, Task
from sidecar.snapshot import Consumer, Timeouts

_WRITE_S = Timeouts().write_s


@dataclass(slots=True)
class Call:
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
    # Set by the gateway for the servicer: the upstream asked last (known before the first piece), what was left out of the
    # request there, the route's timeouts.write_s.
    upstream: str | None = None
    left_out: tuple[str, ...] = ()
    write_s: float = _WRITE_S
    says_limits: Callable[[], tuple[tuple[str, str], ...]] = tuple

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What limits and budgets say now (x-ratelimit-*, x-sidecar-budget), for an answer or a refusal."""
        return self.says_limits()


@dataclass(slots=True)
class Answer:
    """A whole answer: `body` where the provider's bytes pass unchanged, else `message`. `upstream` served it."""

    upstream: str
    body: bytes | None = None
    message: Any = None


# A piece of a streamed answer: bytes to pass on, canonical chunks, or None for "still silent".
Piece = bytes | list[Any] | None
