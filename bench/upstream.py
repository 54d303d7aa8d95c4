"""The mock provider of the benchmark: canned bytes, no parsing beyond Content-Length, so that it costs as little as
possible.

`python -m bench.upstream --port P [--chunks 50] [--gap-ms 1]`. Answers any POST: with a chat answer of about 300
bytes, or, if the body asks for a stream, with that many chunks, each written separately with the gap in between.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
from typing import cast

import uvloop

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
STREAM = re.compile(rb'"stream" *: *true')
WORD = " tokens"  # the text of each chunk


def unary_answer() -> bytes:
    message = {"role": "assistant", "content": "The answer is forty-two, as it has always been."}
    body = json.dumps(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1700000000,
            "model": "bench-model",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 12, "completion_tokens": 11, "total_tokens": 23},
        },
        separators=(",", ":"),
    ).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    return head + body


def stream_answer(chunks: int) -> list[bytes]:
    """The writes of one streamed answer: the head with the first chunk, the other chunks, the end."""
    head = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1700000000, "model": "bench-model"}
    events = []
    for index in range(chunks):
        delta = {"role": "assistant", "content": ""} if index == 0 else {"content": WORD}
        choice = {"index": 0, "delta": {} if index == chunks - 1 else delta, "finish_reason": None}
        if index == chunks - 1:
            choice["finish_reason"] = "stop"
        events.append(b"data: " + json.dumps({**head, "choices": [choice]}, separators=(",", ":")).encode() + b"\n\n")
    usage = {"prompt_tokens": 12, "completion_tokens": chunks, "total_tokens": 12 + chunks}
    last = json.dumps({**head, "choices": [], "usage": usage}, separators=(",", ":")).encode()
    writes = [b"%x\r\n%b\r\n" % (len(event), event) for event in events]
    ending = b"data: " + last + b"\n\ndata: [DONE]\n\n"
    writes[0] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" + writes[0]
    writes.append(b"%x\r\n%b\r\n0\r\n\r\n" % (len(ending), ending))
    return writes


class Upstream(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, unary: bytes, stream: list[bytes], gap_s: float) -> None:
        self._unary = unary
        self._stream = stream
        self._gap_s = gap_s
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        found = LENGTH.search(self._buffer, 0, end)
        whole = end + 4 + (int(found[1]) if found else 0)
        if len(self._buffer) < whole:
            return
        streamed = STREAM.search(self._buffer, end, whole) is not None
        self._buffer = self._buffer[whole:]
        if streamed:
            self._write_from(0)
        else:
            self._transport.write(self._unary)

    def _write_from(self, index: int) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(self._stream[index])
        if index + 1 < len(self._stream):
            self._loop.call_later(self._gap_s, self._write_from, index + 1)


async def serve(port: int, chunks: int, gap_s: float) -> None:
    loop = asyncio.get_running_loop()
    unary, stream = unary_answer(), stream_answer(chunks)
    server = await loop.create_server(lambda: Upstream(unary, stream, gap_s), "127.0.0.1", port, backlog=1024)
    print(f"bench upstream at http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.upstream", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--chunks", type=int, default=50)
    parser.add_argument("--gap-ms", type=float, default=1.0)
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.port, arguments.chunks, arguments.gap_ms / 1000))


if __name__ == "__main__":
    main()
