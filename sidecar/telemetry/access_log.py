"""One log line per call for operators: who called what, how it ended, and what it took in tokens and time.

Never a prompt, an answer or a key. JSON for machines, words for a terminal; control characters cannot forge either.

A thread writes lines in batches, so that a slow terminal or a stuck pipe never delays a call. What such a pipe does
not accept is dropped, and the number of dropped lines is logged.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

# How long a line may wait in order to be written together with others.
_BATCH_S = 0.05
# Some 3 MB: what an unread pipe may cost a worker.
_LINES_MAX = 10_000
# Names of routes and consumers have 128 characters at most; anything else from a caller is truncated.
_TEXT_MAX = 128
_Write = Callable[[bytes], object]


class CallEntry(NamedTuple):  # a frozen dataclass with so many fields takes 2 µs to construct
    """One call that has ended. Durations in seconds, `at_s` in Unix time. None: unknown, or not reached."""

    at_s: float
    request_id: str
    consumer: str
    route: str  # as the caller wrote it, known or not
    operation: str
    outcome: str
    upstream: str | None = None
    attempts: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    first_output_s: float | None = None
    total_s: float = 0.0
    overhead_s: float | None = None


def json_line(entry: CallEntry) -> bytes:
    """An object with the members of CallEntry, times in milliseconds, without members that are None."""
    parts = [
        f'{{"time":"{_time(entry.at_s)}","message":"call","request_id":{_quoted(entry.request_id)},'
        f'"consumer":{_name(entry.consumer)},"route":{_name(entry.route)},"operation":{_name(entry.operation)},'
        f'"outcome":{_name(entry.outcome)},'
    ]
    if entry.upstream is not None:
        parts.append(f'"upstream":{_name(entry.upstream)},')
    parts.append(f'"attempts":{entry.attempts},')
    if entry.input_tokens is not None:
        parts.append(f'"input_tokens":{entry.input_tokens},')
    if entry.output_tokens is not None:
        parts.append(f'"output_tokens":{entry.output_tokens},')
    if entry.first_output_s is not None:
        parts.append(f'"first_output_ms":{round(entry.first_output_s * 1000, 3)},')
    parts.append(f'"total_ms":{round(entry.total_s * 1000, 3)}')
    parts.append("}\n" if entry.overhead_s is None else f',"overhead_ms":{round(entry.overhead_s * 1000, 3)}}}\n')
    return "".join(parts).encode()


def _quoted(text: str) -> str:
    """Encodes as ASCII JSON without terminal control characters."""
    if text.isalnum() and text.isascii():
        return f'"{text[:_TEXT_MAX]}"'
    return _json(text[:_TEXT_MAX])[:-1].decode()


# Names of the config recur; a caller's unknown names displace each other.
_name = lru_cache(1024)(_quoted)


def _json(value: object) -> bytes:
    """Encodes as ASCII, escaping DEL too, so that nothing in the line affects a terminal."""
    return json.dumps(value, separators=(",", ":")).replace("\x7f", "\\u007f").encode() + b"\n"


def human_line(entry: CallEntry) -> bytes:
    """For a terminal; only printable ASCII is passed through."""
    tokens = ""
    if entry.input_tokens is not None or entry.output_tokens is not None:
        tokens = f" {entry.input_tokens or 0}+{entry.output_tokens or 0} tokens"
    first = "" if entry.first_output_s is None else f" first {entry.first_output_s * 1000:.0f} ms"
    by = "" if entry.upstream is None else f" by {_plain(entry.upstream)}"
    more = "" if entry.attempts <= 1 else f" in {entry.attempts} attempts"
    text = (
        f"{_time(entry.at_s)} {_plain(entry.outcome)} {_plain(entry.operation)} {_plain(entry.route)} "
        f"for {_plain(entry.consumer)}{by}{more} {entry.total_s * 1000:.0f} ms{first}{tokens} "
        f"[{_plain(entry.request_id)}]\n"
    )
    return text.encode()


def _time(at_s: float) -> str:
    second, ms = divmod(int(at_s * 1000), 1000)
    return f"{_second(second)}.{ms:03}Z"


@lru_cache(4)
def _second(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat().removesuffix("+00:00")


def _plain(text: str) -> str:
    cut = text[:_TEXT_MAX]
    if cut.isascii() and cut.isprintable() and " " not in cut and cut:
        return cut
    return cut.encode("unicode_escape").decode().replace(" ", "\\x20") or '""'


FORMATS: dict[str, Callable[[CallEntry], bytes] | None] = {"json": json_line, "human": human_line, "off": None}


class AccessLog:
    """The access log of one event loop. `close` writes what is left."""

    def __init__(
        self, line: Callable[[CallEntry], bytes] | None, write: _Write | None = None, *, blocks: bool = True
    ) -> None:
        """`write` accepts complete lines; standard error by default. It runs in a thread unless it never `blocks`."""
        self._line = line
        self._write = write or _to_stderr
        self._blocks = blocks
        self._waiting: list[bytes] = []
        self._dropped = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def add(self, entry: CallEntry) -> None:
        """Returns at once, whatever happens to the line."""
        if self._line is None:
            return
        if len(self._waiting) >= _LINES_MAX:
            self._dropped += 1
            return
        self._waiting.append(self._line(entry))
        if self._timer is None and self._writing is None:
            self._timer = asyncio.get_running_loop().call_later(_BATCH_S, self._flush)

    def _flush(self) -> None:
        self._timer = None
        if self._blocks:
            self._writing = asyncio.get_running_loop().create_task(self._written())
        else:
            self._write(self._taken())

    async def _written(self) -> None:
        while self._waiting:
            await asyncio.to_thread(self._write, self._taken())
        self._writing = None

    def _taken(self) -> bytes:
        lines, self._waiting = self._waiting, []
        dropped, self._dropped = self._dropped, 0
        if dropped:
            lines.append(_json({"message": "log lines dropped", "count": dropped}))
        return b"".join(lines)

    async def close(self, within_s: float = 1.0) -> None:
        """Writes what is left, within `within_s`."""
        if self._timer is not None:
            self._timer.cancel()
            self._flush()
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=within_s)
            if self._writing is not None:
                self._writing.cancel()


def _to_stderr(data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(2, view) :]
    except OSError:  # the reader is gone
        return
