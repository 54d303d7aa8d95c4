"""HTTP by hand, so that no library mends what is sent: HTTP/1.1 on kept connections, HTTP/2 with many streams at once."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Self

import h2.config
import h2.connection
import h2.events
import h2.exceptions

TIMEOUT_S = 30.0
_HEAD = re.compile(rb"HTTP/1\.[01] (\d{3})[^\r\n]*\r\n", re.DOTALL)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
_GRPC = re.compile(rb"\r\ngrpc-status: *(\d+)\r\n", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)
STREAMS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """status 0: the connection (or stream) was ended without an answer. `grpc`: the gRPC status, if there was one."""

    status: int
    body: bytes = b""
    grpc: str | None = None


class Http1:
    """One connection at a time to a front; a new one after each that the front closed."""

    def __init__(self, port: int, trust: ssl.SSLContext) -> None:
        self._port = port
        self._trust = trust
        self._socket: ssl.SSLSocket | None = None
        self.connections = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def ask(self, request: bytes, *, head: bool = False) -> Answer:
        """`head`: the answer has no body, whatever its length says. A kept connection that was closed meanwhile is asked anew."""
        fresh = self._socket is None
        answer = self._sent(request, head)
        return answer if answer.status or fresh else self._sent(request, head)

    def _sent(self, request: bytes, head: bool) -> Answer:
        if self._socket is None:
            plain = socket.create_connection(("127.0.0.1", self._port), TIMEOUT_S)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = self._trust.wrap_socket(plain, server_hostname="localhost")
            self.connections += 1
        try:
            self._socket.sendall(request)
            return self._read(head)
        except (ConnectionError, ssl.SSLError):
            self._close()
            return Answer(0)

    def _read(self, head: bool) -> Answer:
        data = self._more()
        while data and b"\r\n\r\n" not in data and (more := self._more()):
            data += more
        top, _, body = data.partition(b"\r\n\r\n")
        top += b"\r\n"
        found = _HEAD.match(top)
        if found is None:
            self._close()
            return Answer(0, data)
        status = int(found[1])
        length = _LENGTH.search(top)
        if head or status in (204, 304):
            pass
        elif length is not None:
            while len(body) < int(length[1]) and (more := self._more()):
                body += more
        elif _CHUNKED.search(top):
            while not body.endswith(b"0\r\n\r\n") and (more := self._more()):
                body += more
        else:
            while more := self._more():
                body += more
            self._close()
        if _CLOSE.search(top) or head:  # some send HEAD a body none the less
            self._close()
        grpc = _GRPC.search(top)
        return Answer(status, body, None if grpc is None else grpc[1].decode())

    def _more(self) -> bytes:
        assert self._socket is not None
        return self._socket.recv(65_536)

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


Fields = Sequence[tuple[bytes, bytes]]


def http2(port: int, trust: ssl.SSLContext, requests: Iterable[tuple[Fields, bytes]]) -> Iterator[Answer]:
    """The answers in the order of the requests (pseudo-header fields first, then the body)."""
    left = iter(requests)
    while some := list(islice(left, STREAMS_AT_ONCE)):
        for request, answer in zip(some, _Http2(port, trust).ask(some), strict=True):
            # Another stream may have been the reason that the connection was ended.
            yield answer if answer.status else _Http2(port, trust).ask([request])[0]


class _Http2:
    def __init__(self, port: int, trust: ssl.SSLContext) -> None:
        plain = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self._socket = trust.wrap_socket(plain, server_hostname="localhost")
        assert self._socket.selected_alpn_protocol() == "h2"
        config = h2.config.H2Configuration(
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
        )
        self._h2 = h2.connection.H2Connection(config)
        self._status: dict[int, int] = {}
        self._grpc: dict[int, str] = {}
        self._body: dict[int, bytes] = {}
        self._ended: set[int] = set()
        self._unsent: dict[int, bytes] = {}

    def ask(self, requests: Sequence[tuple[Fields, bytes]]) -> list[Answer]:
        self._h2.initiate_connection()
        streams = []
        for fields, body in requests:
            stream = self._h2.get_next_available_stream_id()
            streams.append(stream)
            self._h2.send_headers(stream, list(fields), end_stream=not body)
            if body:
                self._unsent[stream] = body
        self._send()
        while not self._ended.issuperset(streams):
            data = self._socket.recv(65_536)
            if not data:
                break
            for event in self._h2.receive_data(data):
                self._take(event)
            self._send()
        self._socket.close()
        return [Answer(self._status.get(each, 0), self._body.get(each, b""), self._grpc.get(each)) for each in streams]

    def _send(self) -> None:
        """As much of the bodies as the other side takes now."""
        for stream, body in list(self._unsent.items()):
            if stream in self._ended:
                del self._unsent[stream]
                continue
            while body and (room := min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)):
                self._h2.send_data(stream, body[:room], end_stream=len(body) <= room)
                body = body[room:]
            if body:
                self._unsent[stream] = body
            else:
                del self._unsent[stream]
        self._socket.sendall(self._h2.data_to_send())

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            stream, fields = event.stream_id, dict(event.headers or ())
            self._status.setdefault(stream, int(fields.get(b":status", 0)))
            if b"grpc-status" in fields:
                self._grpc[stream] = fields[b"grpc-status"].decode()
        elif isinstance(event, h2.events.DataReceived):
            self._body[event.stream_id] = self._body.get(event.stream_id, b"") + event.data
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
            self._ended.add(event.stream_id)
