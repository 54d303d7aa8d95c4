"""One log line per call, for whoever operates the gateway: who called what, how it ended, what it cost in tokens and time.

Never a prompt, an answer or a key. JSON for machines, words for a terminal; neither can be forged by control characters.

Lines are written by a thread, in batches, so that a slow terminal or a stuck pipe never holds up a call. What such a pipe
does not take is dropped, and counted in a line of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime

# A call waits for nobody; its line does for this long, to be written with others.
_BATCH_S = 0.05
# Some 3 MB: what a pipe that nobody reads may cost a worker.
_LINES_MAX = 10_000
# A route's or consumer's name is 128 characters at most; what else a caller says is cut.
_TEXT_MAX = 128
_Write = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class CallEntry:
    """One call that has ended. Times in seconds, `at_s` since 1970. None: not known, or it did not come that far."""

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
    """An object with the members of CallEntry, times in milliseconds, what is None left out."""
    found: dict[str, object] = {"time": _time(entry.at_s), "message": "call"}
    for field in fields(entry):
        value = getattr(entry, field.name)
        if value is None or field.name == "at_s":
            continue
        if field.name.endswith("_s"):
            found[f"{field.name[:-2]}_ms"] = round(value * 1000, 3)
        else:
            found[field.name] = value[:_TEXT_MAX] if isinstance(value, str) else value
    return _json(found)


def _json(value: object) -> bytes:
    """In ASCII, with DEL escaped too: nothing in the line means anything to a terminal."""
    return json.dumps(value, separators=(",", ":")).replace("\x7f", "\\u007f").encode() + b"\n"


def human_line(entry: CallEntry) -> bytes:
    """For a terminal: only printable ASCII gets there as it is."""
    tokens = ""
    if entry.input_tokens is not None or entry.output_tokens is not None:
        tokens = f" {entry.input_tokens or 0}+{entry.output_tokens or 0} tokens"
    first = "" if entry.first_output_s is None else f" first {entry.first_output_s * 1000:.0f} ms"
    by = "" if entry.upstream is None else f" by {_plain(entry.upstream)}"
    more = "" if entry.attempts <= 1 else f" in {entry.attempts} attempts"
    text = (
        f"{_time(entry.at_s)} {_plain(entry.outcome)} {_plain(entry.operation)} {_plain(entry.route)} "
        f"for {_plain(entry.consumer)}{by}{more} {entry.total_s * 1000:.0f} ms{first}{tokens} [{_plain(entry.request_id)}]\n"
    )
    return text.encode()


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(text: str) -> str:
    cut = text[:_TEXT_MAX]
    if cut.isascii() and cut.isprintable() and " " not in cut and cut:
        return cut
    return cut.encode("unicode_escape").decode().replace(" ", "\\x20") or '""'


FORMATS: dict[str, Callable[[CallEntry], bytes] | None] = {"json": json_line, "human": human_line, "off": None}


class AccessLog:
    """For one event loop. `close` writes what is left."""

    def __init__(self, line: Callable[[CallEntry], bytes] | None, write: _Write | None = None) -> None:
        """`write` takes whole lines and may block; standard error by default."""
        self._line = line
        self._write = write or _to_stderr
        self._waiting: list[CallEntry] = []
        self._dropped = 0
        self._task: asyncio.Task[None] | None = None

    def add(self, entry: CallEntry) -> None:
        """Returns at once, whatever becomes of the line."""
        if self._line is None:
            return
        if len(self._waiting) >= _LINES_MAX:
            self._dropped += 1
            return
        self._waiting.append(entry)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._later())

    async def _later(self) -> None:
        await asyncio.sleep(_BATCH_S)
        while self._waiting:
            await self._flush()
        self._task = None

    async def _flush(self) -> None:
        taken, self._waiting = self._waiting, []
        dropped, self._dropped = self._dropped, 0
        await asyncio.to_thread(self._write_all, taken, dropped)

    def _write_all(self, entries: list[CallEntry], dropped: int) -> None:
        assert self._line is not None
        lines = [self._line(entry) for entry in entries]
        if dropped:
            lines.append(_json({"message": "log lines dropped", "count": dropped}))
        self._write(b"".join(lines))

    async def close(self, within_s: float = 1.0) -> None:
        """Writes what is left, unless that takes longer than `within_s`."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout(within_s):
                await self._flush()
        except TimeoutError:
            return


def _to_stderr(data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(2, view) :]
    except OSError:  # nobody reads it any more
        return
