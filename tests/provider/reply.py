"""Replies that a test can ask of the simulated provider: values only, which the server executes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.provider.record import Call


class End(StrEnum):
    """What happens after the last byte that is sent (see Reply.cut_at)."""

    NORMAL = "finished"  # the body is complete
    CUT = "cut"  # the socket is closed (FIN) before the body is complete
    RST = "rst"  # the socket is reset
    STALL = "stall"  # nothing follows, and the socket stays open until the peer closes it
    GARBAGE = "garbage"  # bytes that are not HTTP framing, then closed
    HALF_CLOSE = "half_close"  # FIN, but the socket is read until the peer closes it


class Framing(StrEnum):
    """How the length of the body is declared."""

    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


class Gate:
    """Pauses a reply until a test opens it. Thread-safe; created by Provider.gate()."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._event = asyncio.Event()
        self.waiting = 0  # replies that are waiting now
        self.arrived = 0  # replies that have ever waited

    def open(self) -> None:
        self._loop.call_soon_threadsafe(self._event.set)

    async def passed(self) -> None:
        self.waiting += 1
        self.arrived += 1
        try:
            await self._event.wait()
        finally:
            self.waiting -= 1


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause between two parts."""

    seconds: float


Part = bytes | Gate | Pause


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    `parts` are the body's pieces, each given to the socket on its own (its own chunk when chunked), with `gap_s`
    between byte parts; a Gate or a Pause among them holds the rest. `framing` None means: length for one part, else
    chunked. `cut_at` counts wire bytes of the body (after gzip, before chunk framing) after which `end` happens; None:
    after all of them. With `head` False nothing is sent at all before `end`. `slice_bytes` cuts each write into smaller
    ones. `then_close`: "" keeps the connection, "announced" sends `connection: close`, "silent" closes without a word
    after the answer (the stale keep-alive). `before` and `head_delay_s` hold the status line, `first_delay_s` the first part.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)
    parts: Sequence[Part] = ()
    framing: Framing | None = None
    gzip: bool = False
    before: Gate | None = None
    head_delay_s: float = 0.0
    first_delay_s: float = 0.0
    gap_s: float = 0.0
    slice_bytes: int = 0
    end: End = End.NORMAL
    cut_at: int | None = None
    head: bool = True
    then_close: str = ""


Script = Callable[[Call], "Reply | None"]  # None: the default reply of the path


def json_reply(value: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Reply(status=status, headers=(("content-type", "application/json"), *headers), parts=(body,))


def sse_reply(parts: Sequence[Part], **fields: Any) -> Reply:
    """A 200 text/event-stream of whole events (see `data` and `event`); `fields` are further members of Reply."""
    fields.setdefault("framing", Framing.CHUNKED)
    return Reply(headers=(("content-type", "text/event-stream; charset=utf-8"),), parts=tuple(parts), **fields)


def data(value: Any) -> bytes:
    """An event without a name, as OpenAI sends it. Text is sent unchanged ("[DONE]")."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


def event(name: str, value: Any) -> bytes:
    """A named event, as Anthropic sends it."""
    return f"event: {name}\n".encode() + data(value)
