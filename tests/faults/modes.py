"""The ways in which a provider can fail, as data: what it does, and what a caller is to hear.

Expectations are written down here and not taken from the code under test. `reply` gets the healthy answer of the call's format
and changes it.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from adapters import Kind
from tests.provider import Call, End, Framing, Pause, Reply, data, error_reply, event, json_reply
from tests.provider.cohere import cohere_error_event, is_cohere
from tests.provider.defaults import is_anthropic
from tests.provider.openai_responses import is_responses
from tests.provider.reply import Part

K = Kind
# What a route of the matrix takes at most; modes go beyond it.
ANSWER_BYTES_MAX = 2 * 1024 * 1024

# Where a format says that a choice is complete.
_FINISH = re.compile(rb'"(finish_reason|stop_reason)": ?"|message-end|response\.completed')

Change = Callable[[Call, Reply], Reply]


def _whole(call: Call, healthy: Reply) -> Reply:
    return healthy


@dataclass(frozen=True, slots=True)
class Mode:
    """`unary` and `stream`: the kind of failure, None where the call succeeds. `interrupts`: a stream's failure comes after
    output, in-band. `quiet`: ends by a timeout, so the route gets short ones. `slow`: takes a while by itself. `where`: what the
    address leads to. `waits`: a Retry-After too long to wait for, so that nothing is tried again."""

    id: str
    unary: Kind | None
    stream: Kind | None
    reply: Change = _whole
    interrupts: bool = False
    quiet: bool = False
    slow: bool = False
    where: str = "provider"
    waits: bool = False

    def overloads(self, format_: str, streamed: bool) -> bool:
        """Whether the provider says that it has too much to do: by its status, or in the words of Anthropic's format."""
        if self.id == "status 529":
            return True
        as_event = self.id in ("an error event first", "an error event half-way") or (
            self.id == "200 with an error inside" and streamed
        )
        return as_event and format_ == "anthropic"


def streams(reply: Reply) -> bool:
    return any(value.startswith("text/event-stream") for _, value in reply.headers)


def _with(**fields: object) -> Change:
    return lambda call, healthy: replace(healthy, **fields)  # type: ignore[arg-type]


def _headers(*headers: tuple[str, str]) -> Change:
    return lambda call, healthy: replace(healthy, headers=(*healthy.headers, *headers))


def _typed(*headers: tuple[str, str]) -> Change:
    """Without the healthy answer's content type."""
    return lambda call, healthy: replace(healthy, headers=headers)


def _body(*parts: bytes, **fields: object) -> Change:
    return lambda call, healthy: replace(healthy, parts=parts, **fields)  # type: ignore[arg-type]


# What Anthropic calls these; its own word counts for more than the status.
_ANTHROPIC = {
    402: "billing_error",
    408: "timeout_error",
    418: "invalid_request_error",
    422: "invalid_request_error",
    504: "timeout_error",
}


def _error(status: int, *headers: tuple[str, str]) -> Change:
    def change(call: Call, healthy: Reply) -> Reply:
        if is_anthropic(call) and status in _ANTHROPIC:
            error = {"type": _ANTHROPIC[status], "message": f"simulated {status}"}
            return json_reply({"type": "error", "error": error}, status, headers)
        return error_reply(call, status, f"simulated {status}", headers=headers)

    return change


def _html(status: int) -> Change:
    page = f"<html><h1>{status}</h1></html>".encode()
    return lambda call, healthy: Reply(status, (("content-type", "text/html"),), (page,))


def _echoed(status: int) -> Change:
    return lambda call, healthy: error_reply(call, status, f"Incorrect API key provided: {call.key}")


def _halved(end: End) -> Change:
    """Half of the parts of a stream (output among them), half of a body."""

    def change(call: Call, healthy: Reply) -> Reply:
        size = sum(len(part) for part in healthy.parts if isinstance(part, bytes))
        return replace(healthy, end=end, cut_at=size * 2 // 3, framing=healthy.framing or Framing.LENGTH)

    return change


def _changed(change: Callable[[list[bytes]], Sequence[bytes]]) -> Change:
    """The parts of a stream, or the one of a body."""

    def changed(call: Call, healthy: Reply) -> Reply:
        parts: list[Part] = list(change([part for part in healthy.parts if isinstance(part, bytes)]))
        return replace(healthy, parts=parts)

    return changed


def _in_events(change: Callable[[Call, list[bytes]], Sequence[Part]]) -> Change:
    """Only the events of a stream; a whole answer stays well."""

    def changed(call: Call, healthy: Reply) -> Reply:
        if not streams(healthy):
            return healthy
        return replace(healthy, parts=tuple(change(call, [part for part in healthy.parts if isinstance(part, bytes)])))

    return changed


def _error_event(call: Call, *, first: bool = False) -> bytes:
    error = {"type": "overloaded_error", "message": "Overloaded"}
    if is_cohere(call):
        return cohere_error_event(call, "Overloaded", first=first)
    if is_anthropic(call):
        return event("error", {"type": "error", "error": error})
    if is_responses(call):
        return event("error", {"type": "error", "code": "server_error", "message": "Overloaded", "param": None})
    return data({"error": {"message": "Overloaded", "type": "server_error", "param": None, "code": None}})


def _error_in_200(call: Call, healthy: Reply) -> Reply:
    if streams(healthy):
        return replace(healthy, parts=(_error_event(call, first=True),))
    return replace(healthy, parts=(error_reply(call, 500, "oops").parts[0],))


def _json(value: object) -> Change:
    def change(call: Call, healthy: Reply) -> Reply:
        text = json.dumps(value)
        return replace(healthy, parts=(data(text) if streams(healthy) else text.encode(),))

    return change


def _oversized(call: Call, healthy: Reply) -> Reply:
    filler = b" " * (ANSWER_BYTES_MAX + 1)
    return replace(healthy, parts=(b": " + filler + b"\n\n" if streams(healthy) else filler, *healthy.parts))


def _bomb(call: Call, healthy: Reply) -> Reply:
    packed = gzip.compress(b" " * (20 * ANSWER_BYTES_MAX))
    return replace(healthy, parts=(packed,), headers=(*healthy.headers, ("content-encoding", "gzip")))


def _packed_and_cut(call: Call, healthy: Reply) -> Reply:
    """A whole HTTP body that is half of a gzip stream."""
    whole = gzip.compress(b"".join(part for part in healthy.parts if isinstance(part, bytes)))
    return replace(healthy, parts=(whole[: len(whole) // 2],), headers=(*healthy.headers, ("content-encoding", "gzip")))


def _redirected(call: Call, healthy: Reply) -> Reply:
    return replace(healthy, status=308, headers=(("location", call.target),), parts=())


# The output has reached the caller by then. What comes with it in one piece is found before anything was passed on.
_LATER = Pause(3.0)


def _unfinished(call: Call, parts: Sequence[Part]) -> Sequence[Part]:
    """What comes before the finish reason, and then the end of the body."""
    last = next(at for at, part in enumerate(parts) if isinstance(part, bytes) and _FINISH.search(part))
    return parts[:last]


def _late_error(call: Call, parts: list[bytes]) -> list[Part]:
    return [*parts[: len(parts) // 2 + 1], _LATER, _error_event(call)]


def _broken_event(call: Call, parts: list[bytes]) -> list[Part]:
    at = len(parts) // 2 + 1
    return [*parts[:at], _LATER, b'data: {"choices": [\n\n', *parts[at:]]


MODES = (
    # well, however oddly
    Mode("well", None, None),
    Mode("content type text/plain", None, None, _typed(("content-type", "text/plain"))),
    Mode("no content type", None, None, _typed()),
    Mode("compressed though identity was asked for", None, None, _with(gzip=True)),
    Mode("one byte at a time", None, None, _with(slice_bytes=1)),
    Mode("status 206", None, None, _with(status=206)),
    Mode("headers that are nobody's business", None, None, _headers(("set-cookie", "a=b"), ("x-goog-api-key", "k"))),
    Mode("CRLF line ends", None, None, _in_events(lambda call, parts: [part.replace(b"\n", b"\r\n") for part in parts])),
    Mode("CR line ends", None, None, _in_events(lambda call, parts: [part.replace(b"\n", b"\r") for part in parts])),
    Mode("comments and ids between events", None, None,
         _in_events(lambda call, parts: [piece for part in parts for piece in (b": ping\n\n", b"id: 7\nretry: 5\n" + part)])),
    Mode("a byte order mark", None, None, _in_events(lambda call, parts: [b"\xef\xbb\xbf" + parts[0], *parts[1:]])),
    Mode("events after the end", None, None, _in_events(lambda call, parts: [*parts, parts[-1], b"data: {}\n\n"])),
    Mode("an event of 600 KiB", None, None,
         _in_events(lambda call, parts: [*parts[:1], b": " + b"x" * 600_000 + b"\n\n", *parts[1:]])),
    Mode("closed without a word afterwards", None, None, _with(then_close="silent")),
    Mode("half closed afterwards", None, None, _with(end=End.HALF_CLOSE, then_close="")),
    # no answer
    Mode("nobody listens", K.UPSTREAM_UNAVAILABLE, K.UPSTREAM_UNAVAILABLE, where="closed port"),
    Mode("a name that nobody has", K.UPSTREAM_UNAVAILABLE, K.UPSTREAM_UNAVAILABLE, where="no such name"),
    Mode("a certificate nobody trusts", K.UPSTREAM_UNAVAILABLE, K.UPSTREAM_UNAVAILABLE, where="untrusted"),
    Mode("no TLS where it should be", K.UPSTREAM_TIMEOUT, K.UPSTREAM_TIMEOUT, where="plain", quiet=True),
    Mode("silent", K.UPSTREAM_TIMEOUT, K.UPSTREAM_TIMEOUT, _with(head=False, end=End.STALL), quiet=True),
    Mode("silent after the head", K.UPSTREAM_TIMEOUT, K.UPSTREAM_TIMEOUT, _with(end=End.STALL, cut_at=0), quiet=True),
    Mode("closed before the status", K.UPSTREAM_UNAVAILABLE, K.UPSTREAM_UNAVAILABLE, _with(head=False, end=End.CUT)),
    Mode("reset before the status", K.UPSTREAM_UNAVAILABLE, K.UPSTREAM_UNAVAILABLE, _with(head=False, end=End.RST)),
    Mode("half closed before the status", K.UPSTREAM_UNAVAILABLE, K.UPSTREAM_UNAVAILABLE, _with(head=False, end=End.HALF_CLOSE)),
    Mode("no HTTP", K.UPSTREAM_PROTOCOL, K.UPSTREAM_PROTOCOL, _with(head=False, end=End.GARBAGE)),
    Mode("10,000 headers", K.UPSTREAM_PROTOCOL, K.UPSTREAM_PROTOCOL, _headers(*[("x-many", "x")] * 10_000)),
    Mode("a header of 70 KB", K.UPSTREAM_PROTOCOL, K.UPSTREAM_PROTOCOL, _headers(("x-big", "x" * 70_000))),
    # statuses
    *(Mode(f"status {status}", kind, kind, _error(status)) for status, kind in (
        (400, K.INVALID_REQUEST), (402, K.QUOTA_EXHAUSTED), (404, K.UPSTREAM_NOT_FOUND), (408, K.UPSTREAM_TIMEOUT),
        (413, K.REQUEST_TOO_LARGE), (418, K.INVALID_REQUEST), (422, K.INVALID_REQUEST), (429, K.RATE_LIMITED),
        (500, K.UPSTREAM_UNAVAILABLE), (503, K.UPSTREAM_UNAVAILABLE), (504, K.UPSTREAM_TIMEOUT),
        (520, K.UPSTREAM_UNAVAILABLE), (529, K.UPSTREAM_UNAVAILABLE))),
    *(Mode(f"status {status}, the key in its text", K.UPSTREAM_REJECTED_CREDENTIALS, K.UPSTREAM_REJECTED_CREDENTIALS,
           _echoed(status)) for status in (401, 403)),
    *(Mode(f"status {status} with a page", kind, kind, _html(status)) for status, kind in (
        (429, K.RATE_LIMITED), (502, K.UPSTREAM_UNAVAILABLE), (503, K.UPSTREAM_UNAVAILABLE), (504, K.UPSTREAM_TIMEOUT))),
    *(Mode(f"429, retry-after {value}", K.RATE_LIMITED, K.RATE_LIMITED, _error(429, ("retry-after", value)), waits=long)
      for value, long in (("0", False), ("-1", False), ("nonsense", False), ("Wed, 21 Oct 2015 07:28:00 GMT", False),
                          ("1e9", True), ("60", True))),
    *(Mode(f"status {status}", K.UPSTREAM_PROTOCOL, K.UPSTREAM_PROTOCOL,
           _with(status=status, headers=(("location", "http://127.0.0.1:1/"),), parts=())) for status in (204, 302, 304, 307)),
    Mode("status 308, back to the same place", K.UPSTREAM_PROTOCOL, K.UPSTREAM_PROTOCOL, _redirected),
    # answers that are none
    Mode("200 with a page", K.UPSTREAM_PROTOCOL, K.UPSTREAM_PROTOCOL, _html(200)),
    Mode("200 with nothing", K.UPSTREAM_PROTOCOL, K.UPSTREAM_PROTOCOL, _body()),
    Mode("200 with an error inside", K.UPSTREAM_UNAVAILABLE, K.UPSTREAM_UNAVAILABLE, _error_in_200),
    Mode("an object without an answer", K.UPSTREAM_PROTOCOL, K.UPSTREAM_PROTOCOL, _json({"id": "x"})),
    Mode("members of the wrong type", K.UPSTREAM_PROTOCOL, K.UPSTREAM_PROTOCOL,
         _json({"choices": "x", "content": "x", "output": "x"})),
    Mode("nothing where the answer should be", K.UPSTREAM_PROTOCOL, K.UPSTREAM_PROTOCOL,
         _json({"choices": None, "content": None, "message": None, "output": None})),
    Mode("a list instead of an object", K.UPSTREAM_PROTOCOL, K.UPSTREAM_PROTOCOL, _json([1])),
    Mode("text instead of JSON", K.UPSTREAM_PROTOCOL, K.UPSTREAM_PROTOCOL, _body(b"data: hello\n\n")),
    Mode("bytes that are no text", K.UPSTREAM_PROTOCOL, K.UPSTREAM_PROTOCOL, _body(b'data: {"id":"\xff\xfe"}\n\n')),
    Mode("larger than the route takes", K.UPSTREAM_PROTOCOL, K.UPSTREAM_PROTOCOL, _oversized),
    Mode("a decompression bomb", K.UPSTREAM_PROTOCOL, K.UPSTREAM_PROTOCOL, _bomb),
    Mode("compressed in a way that was never offered", K.UPSTREAM_PROTOCOL, K.UPSTREAM_PROTOCOL,
         _headers(("content-encoding", "br"))),
    Mode("compressed, and cut", K.UPSTREAM_PROTOCOL, K.UPSTREAM_PROTOCOL, _packed_and_cut),
    Mode("said to be compressed, but is not", K.UPSTREAM_PROTOCOL, K.UPSTREAM_PROTOCOL, _headers(("content-encoding", "gzip"))),
    # breaks off; of a stream after output
    Mode("closed half-way", K.UPSTREAM_PROTOCOL, K.UPSTREAM_INTERRUPTED, _halved(End.CUT), interrupts=True),
    Mode("reset half-way", K.UPSTREAM_PROTOCOL, K.UPSTREAM_INTERRUPTED, _halved(End.RST), interrupts=True),
    Mode("silent half-way", K.UPSTREAM_TIMEOUT, K.UPSTREAM_TIMEOUT, _halved(End.STALL), interrupts=True, quiet=True),
    Mode("garbage half-way", K.UPSTREAM_PROTOCOL, K.UPSTREAM_INTERRUPTED,
         lambda call, healthy: replace(_halved(End.GARBAGE)(call, healthy), framing=Framing.CHUNKED), interrupts=True),
    Mode("closed after the first event", None, K.UPSTREAM_PROTOCOL,
         lambda call, healthy: replace(healthy, end=End.CUT, cut_at=len(healthy.parts[0])) if streams(healthy) else healthy),  # type: ignore[arg-type]
    # In Responses the last event has the whole answer in it.
    Mode("nothing but its end marker", None, K.UPSTREAM_PROTOCOL,
         _in_events(lambda call, parts: [] if is_responses(call) else parts[-1:])),
    # Every choice has finished and the body ends as it should: nothing of the answer is missing.
    Mode("without its end marker", None, None,
         _in_events(lambda call, parts: parts if is_responses(call) else parts[:-1])),
    Mode("ends before it finishes", None, K.UPSTREAM_INTERRUPTED, _in_events(_unfinished), interrupts=True),
    Mode("an error event first", None, K.UPSTREAM_UNAVAILABLE, _in_events(lambda call, parts: [_error_event(call, first=True)])),
    Mode("an error event half-way", None, K.UPSTREAM_INTERRUPTED, _in_events(_late_error), interrupts=True, slow=True),
    Mode("a broken event half-way", None, K.UPSTREAM_INTERRUPTED, _in_events(_broken_event), interrupts=True, slow=True),
)  # fmt: skip
