"""A client whose kernel is full when its stream ends, while the worker drains: it still gets every byte."""

from __future__ import annotations

import asyncio
import socket

import h2.config
import h2.connection
import h2.settings
import pytest

from adapters import Task
from sidecar.control.channel import GRPC_SERVERS
from sidecar.v1 import inference_pb2 as pb
from tests.processes import free_port, reached
from tests.provider import Provider
from tests.worker.running import WorkerProcess, route, snapshot

# Far below the answer, so that most of it waits in the worker's kernel; a window that lets gRPC send it all.
RECEIVE_BUFFER_BYTES = 4096
WORDS = 600
WINDOW_BYTES = 1 << 24
_SETTINGS, _PING, _GOAWAY = 4, 6, 7
_ACK = END_STREAM = 1


class SlowClient:
    """HTTP/2 by hand: it reads when it is told to, and says something whether or not it has read."""

    def __init__(self, port: int) -> None:
        self.kinds: list[int] = []
        self.data_bytes = 0
        self.ended = False
        self._buffer = b""
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self._socket.settimeout(30)
        self._socket.connect(("127.0.0.1", port))

    def close(self) -> None:
        self._socket.close()

    def ask(self, method: str, request: bytes) -> None:
        state = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        state.local_settings[h2.settings.SettingCodes.INITIAL_WINDOW_SIZE] = WINDOW_BYTES
        state.initiate_connection()
        state.increment_flow_control_window(WINDOW_BYTES)
        headers = {":method": "POST", ":path": method, ":scheme": "http", ":authority": "localhost"}
        headers |= {"te": "trailers", "content-type": "application/grpc"}
        state.send_headers(1, list(headers.items()))
        state.send_data(1, b"\0" + len(request).to_bytes(4, "big") + request, end_stream=True)
        self._socket.sendall(state.data_to_send())

    def ping(self) -> None:
        self._send(_PING, 0, b"too late")

    def read_a_piece(self) -> None:
        """Raises OSError when the connection is lost."""
        data = self._socket.recv(1024)
        if not data:
            raise ConnectionError(f"closed after {self.data_bytes} bytes")
        self._buffer += data
        while len(self._buffer) >= 9 and len(self._buffer) >= (size := 9 + int.from_bytes(self._buffer[:3], "big")):
            frame, self._buffer = self._buffer[:size], self._buffer[size:]
            self._understand(frame[3], frame[4], frame[9:])

    def _understand(self, kind: int, flags: int, body: bytes) -> None:
        self.kinds.append(kind)
        if kind in (_SETTINGS, _PING) and not flags & _ACK:
            self._send(kind, _ACK, body if kind == _PING else b"")
        if kind == 0:
            self.data_bytes += len(body)
        self.ended = self.ended or (kind in (0, 1) and bool(flags & END_STREAM))

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._socket.sendall(len(body).to_bytes(3, "big") + bytes((kind, flags)) + bytes(4) + body)


def _read_until_goaways(client: SlowClient) -> None:
    """gRPC says it twice: that it will go, and which stream was the last."""
    while client.kinds.count(_GOAWAY) < 2:
        client.read_a_piece()


def _read_to_the_end(client: SlowClient) -> None:
    while not client.ended:
        client.read_a_piece()


@pytest.mark.parametrize("grpc_server", GRPC_SERVERS)
async def test_a_worker_that_drains_waits_until_a_slow_client_has_taken_all(
    provider: Provider, grpc_server: str
) -> None:
    gate, port = provider.gate("hold"), free_port()
    held = route("chat", Task.CHAT, provider.base_url, model=f"sim:tokens={WORDS},gate=hold,gate_at=3")
    request = pb.ChatRequest(route="chat", messages=[pb.Message(role=pb.ROLE_USER)])
    request.messages[0].content.add(text="Say something.")
    async with WorkerProcess(snapshot([held]), grpc_port=port, grpc_server=grpc_server) as worker:
        assert worker.process is not None
        client = SlowClient(port)
        try:
            client.ask("/sidecar.v1.InferenceService/StreamChat", request.SerializeToString())
            await reached(lambda: gate.waiting == 1)
            await worker.drain(60)
            await asyncio.to_thread(_read_until_goaways, client)
            gate.open()
            await provider.until(lambda p: p.calls[0].outcome == "finished")
            with pytest.raises(TimeoutError):  # for what the client's kernel has no room for; idle it ends within 0.1 s
                await asyncio.wait_for(worker.process.wait(), 0.5)
            client.ping()
            await asyncio.to_thread(_read_to_the_end, client)
            assert client.data_bytes > 10 * RECEIVE_BUFFER_BYTES
            await asyncio.wait_for(worker.process.wait(), 30)
        finally:
            client.close()
        assert worker.process.returncode == 0
