"""A provider that floods, in a process of its own: `python -m tests.floods.provider` prints its port, and ends with its input.

The body's model says how: `KIND` of `FLOODS`, or `well` for a good short answer. The path says the format. A flood is written as
fast as the gateway takes it, until the connection ends.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from socket import create_server, socket
from typing import Any, NamedTuple

OPENAI, ANTHROPIC, COHERE, COHERE_V1, GENERATE, RESPONSES = (
    "openai",
    "anthropic",
    "cohere",
    "cohere-v1",
    "tgi",
    "responses",
)
_PATHS = {
    "/v1/messages": ANTHROPIC,
    "/v2/chat": COHERE,
    "/v1/chat": COHERE_V1,
    "/generate_stream": GENERATE,
    "/generate": GENERATE,
    "/v1/responses": RESPONSES,
}
# So much is written at once.
_BLOCK_BYTES = 64 * 1024


class _Request(NamedTuple):
    format: str
    model: str
    streamed: bool


def _head(kind: str, *more: str, status: int = 200) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", "transfer-encoding: chunked", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _blocks(piece: bytes) -> Iterator[bytes]:
    """Again and again, many at once."""
    return repeat(piece * max(1, _BLOCK_BYTES // len(piece)))


def _kind(request: _Request) -> str:
    if not request.streamed:
        return "application/json"
    return "application/x-ndjson" if request.format == COHERE_V1 else "text/event-stream"


def _event(data: dict[str, Any], name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(data).encode() + b"\n\n"


def _empty(request: _Request) -> bytes:
    """A delta of the format that says nothing."""
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": None}
    events: dict[str, bytes] = {
        OPENAI: _event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}),
        ANTHROPIC: _event({"type": "ping"}, "ping"),
        COHERE: _event({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": ""}}}}),
        COHERE_V1: b'{"is_finished":false,"event_type":"text-generation","text":""}\n',
        GENERATE: _event({"index": 1, "token": {"id": 1, "text": "", "logprob": 0, "special": False}}),
        RESPONSES: _event({"type": "response.in_progress", "response": {}}, "response.in_progress"),
    }
    return events[request.format]


def _first(request: _Request) -> bytes:
    """What a stream of the format begins with."""
    message = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "usage": {"input_tokens": 1},
    }
    return {
        ANTHROPIC: _event({"type": "message_start", "message": message}, "message_start"),
        COHERE: _event({"type": "message-start", "id": "m", "delta": {"message": {"role": "assistant"}}}),
    }.get(request.format, b"")


def _output(request: _Request) -> bytes:
    """A delta with a letter; of Anthropic's and Cohere's format, blocks have begun."""
    return _empty(request).replace(b'"content": ""', b'"content": "a"').replace(b'"text": ""', b'"text": "a"').replace(
        b'"text":""', b'"text":"a"'
    )  # fmt: skip


def _deflated(wbits: int, plain: bytes) -> Iterator[bytes]:
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    while True:
        if packed := packer.compress(plain * 1024):
            yield _chunk(packed)


def _varied(piece: bytes) -> Iterator[bytes]:
    """No two alike, so that nothing can be remembered."""
    for number in range(10**9):
        yield _chunk(b"".join(piece.replace(b'"c"', b'"c%d-%d"' % (number, i)) for i in range(200)))


def flood(request: _Request) -> Iterable[bytes]:
    kind, streamed = _kind(request), _head(_kind(request))
    start = streamed + (_chunk(first) if (first := _first(request)) and request.streamed else b"")
    match request.model:
        case "interim":
            return _blocks(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
        case "headers":
            return chain([streamed[:-2]], (b"x-%d: y\r\n" % number * 1000 for number in range(10**9)))
        case "header-line":
            return chain([streamed[:-2] + b"x: "], _blocks(b"y"))
        case "whitespace":
            return chain([streamed], _blocks(_chunk(b" \n" * 4096)))
        case "whitespace-chunks":
            return chain([streamed], _blocks(b"1\r\n \r\n"))
        case "comments":
            return chain([start], _blocks(_chunk(b": x\n\n" * 100)))
        case "comment-chunks":
            return chain([start], _blocks(b"1\r\n:\r\n1\r\n\n\r\n1\r\n\n\r\n"))
        case "empty-deltas":
            return chain([start], _blocks(_chunk(_empty(request))))
        case "varied-deltas":
            return chain([start], _varied(_empty(request)))
        case "output":
            return chain([start], _blocks(_chunk(_output(request) * 20)))
        case "blank-lines":
            return chain([start], _blocks(_chunk(b"\n" * 8192)))
        case "long-line":
            return chain([start + _chunk(b'data: {"a": "')], _blocks(_chunk(b"a" * 65536)))
        case "carriage-returns":
            return chain([start], _blocks(_chunk(b"\r" * 8192)))
        case "open-brackets":
            return chain([streamed], _blocks(_chunk(b"[" * 65536)))
        case "chunk-extension":
            return chain([streamed + b"5;"], _blocks(b"e"))
        case "trailers":
            return chain([start + b"0\r\n"], _blocks(b"x: y\r\n"))
        case "surplus":
            return chain([_head(kind, "x: y") + _chunk(b"{}") + b"0\r\n\r\n"], _blocks(b"HTTP/1.1 200 OK\r\n\r\n"))
        case "gzip":
            return chain([_head(kind, "content-encoding: gzip")], _deflated(31, b" "))
        case "gzip-comments":
            return chain([_head(kind, "content-encoding: gzip")], _deflated(31, b": x\n\n"))
        case "deflate":
            return chain([_head(kind, "content-encoding: deflate")], _deflated(-15, b"\n"))
        case "error-body":
            return chain([_head("application/json", status=500)], _blocks(_chunk(b'{"error": "' + b"e" * 8192)))
        case "bytes":
            return chain([b"HTTP/1.1 200 X\r\ncontent-type: %b\r\n\r\n" % kind.encode()], _blocks(b"x"))
    choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
    body = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})
    return [_head("application/json") + _chunk(body.encode()) + b"0\r\n\r\n"]


# Those that a call for a whole answer can meet, and those of streams.
WHOLE = (
    *("interim", "headers", "header-line", "whitespace", "whitespace-chunks", "comments", "open-brackets", "long-line"),
    *("chunk-extension", "trailers", "surplus", "gzip", "deflate", "error-body", "bytes"),
)
STREAMED = (
    *(
        "interim",
        "headers",
        "header-line",
        "whitespace",
        "whitespace-chunks",
        "comments",
        "comment-chunks",
        "empty-deltas",
    ),
    *("varied-deltas", "output", "blank-lines", "long-line", "carriage-returns", "open-brackets", "chunk-extension"),
    *("trailers", "gzip", "gzip-comments", "deflate", "error-body", "bytes"),
)


def _serve(connection: socket) -> None:
    received = b""
    with connection:
        try:
            while True:
                while b"\r\n\r\n" not in received:
                    if not (more := connection.recv(1 << 16)):
                        return
                    received += more
                head, _, body = received.partition(b"\r\n\r\n")
                length = re.search(rb"content-length: *([0-9]+)", head, re.IGNORECASE)
                size = int(length[1]) if length else 0
                while len(body) < size:
                    body += connection.recv(1 << 16)
                received = body[size:]
                for piece in flood(_read(head.decode("latin-1"), body[:size])):
                    connection.sendall(piece)
        except OSError:
            return


def _read(head: str, body: bytes) -> _Request:
    path = head.split(" ")[1].partition("?")[0]
    request = json.loads(body)
    model = request.get("model") or re.sub(r"^/([a-z-]+)/.*", r"\1", path)
    found = next((found for known, found in _PATHS.items() if path.endswith(known)), OPENAI)
    return _Request(found, model, bool(request.get("stream")) or path.endswith("_stream"))


def main() -> None:
    listener = create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
