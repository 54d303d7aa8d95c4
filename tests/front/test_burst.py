"""As many calls at once as one address may have are all served; one more hears which limit that is."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import h2.config
import h2.connection
import h2.events
import pytest

from sidecar.front.programs import PROGRAMS, Program
from sidecar.front.settings import FrontSettings
from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc
from tests.front.conftest import Front, start_core, start_front
from tests.front.double import Script
from tests.processes import reached

# 768 are allowed from one address, 512 of them on one connection; a few are left for what the test itself asks.
CALLS = 760
_CONNECTIONS = 2
_ANSWER_S = 60.0


class _Client:
    """One HTTP/2 connection that sends many requests in one write. Blocks; for a thread of its own."""

    def __init__(self, front: Front) -> None:
        context = front.tls()
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", front.port), timeout=_ANSWER_S)
        self._socket: ssl.SSLSocket = context.wrap_socket(plain, server_hostname="localhost")
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._socket.sendall(self._h2.data_to_send())
        self._headers = [(":method", "GET"), (":scheme", "https"), (":path", "/v1/models"), *front.basic.items()]
        self._headers.insert(3, (":authority", "localhost"))
        self.statuses: list[str] = []

    def settle(self) -> None:
        """Waits for the server's settings: how many streams it takes."""
        while self._h2.remote_settings.max_concurrent_streams < CALLS // _CONNECTIONS or not self._read():
            pass

    def send(self, count: int) -> None:
        for _ in range(count):
            self._h2.send_headers(self._h2.get_next_available_stream_id(), self._headers, end_stream=True)
        self._socket.sendall(self._h2.data_to_send())

    def answers(self, count: int) -> None:
        while len(self.statuses) < count:
            self._read()
        self._socket.close()

    def _read(self) -> bool:
        data = self._socket.recv(65536)
        assert data, "the front closed the connection"
        events = self._h2.receive_data(data)
        for event in events:
            if isinstance(event, h2.events.ResponseReceived):
                self.statuses.append(dict(event.headers)[":status"])  # type: ignore[arg-type,index]
            elif isinstance(event, h2.events.StreamReset):
                self.statuses.append(f"reset {event.error_code}")
        self._socket.sendall(self._h2.data_to_send())
        return any(isinstance(event, h2.events.RemoteSettingsChanged) for event in events)


def _serving_pids(front: Front) -> list[int]:
    """The processes that take calls: Nginx's workers, Envoy itself."""
    pid = front.process.pid
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(pid) for pid in pids] or [pid]


async def test_as_many_calls_as_are_allowed_are_served_though_they_come_in_one_moment(
    state: Path, program: Program
) -> None:
    """The front is stopped while they are sent, so that it meets all of them in one turn of its loop."""
    front = start_front(state, program)
    core = await start_core(front)
    try:
        clients = await asyncio.to_thread(lambda: [_Client(front) for _ in range(_CONNECTIONS)])
        for client in clients:
            await asyncio.to_thread(client.settle)
        pids = _serving_pids(front)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            for client in clients:
                await asyncio.to_thread(client.send, CALLS // _CONNECTIONS)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        await asyncio.gather(*(asyncio.to_thread(each.answers, CALLS // _CONNECTIONS) for each in clients))
        statuses = [status for client in clients for status in client.statuses]
        assert {status: statuses.count(status) for status in set(statuses)} == {"200": CALLS}
    finally:
        await core.stop()
        front.stop()


def test_no_socket_of_a_front_queues_fewer_than_are_allowed(state: Path) -> None:
    settings = FrontSettings((Path("w0.sock"),), state / "users", state / "certificate", state / "key")
    settings = replace(settings, core_sockets=(state / "w0.sock",), plain_addresses=(("127.0.0.1", 80),))
    nginx = PROGRAMS["nginx"].render(settings, state / "front").read_text()
    listens = re.findall(r"^ *listen .*$", nginx, re.MULTILINE)
    assert len(listens) == 3
    assert all(_number(r"backlog=(\d+);", line) >= settings.calls_per_client for line in listens)
    envoy = _template("envoy")
    assert (
        envoy.count("- name: front\n") == envoy.count("tcp_backlog_size: ") + 1
    )  # the listener's, and the certificate's
    assert _number(r"tcp_backlog_size: (\d+)", envoy) >= settings.calls_per_client


def _template(program: str) -> str:
    folder = Path(__file__).parents[2] / "deploy" / program
    return next(folder.glob("*.in")).read_text(encoding="utf-8")


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


@pytest.mark.parametrize("calls", [1, 3])
async def test_one_call_too_many_hears_which_limit_it_is_and_when_to_try_again(state: Path, calls: int) -> None:
    """Nginx's alone: Envoy does not count them."""
    front = start_front(state, calls_per_client=calls)
    core = await start_core(front)
    core.script = Script(content_type="text/event-stream", pieces=[b"data: 1\n\n"], hold=True)
    text = f"Too many concurrent calls: the limit for one address is {calls}. Try again when some of them have ended."
    try:
        async with front.http(2) as http, front.channel() as channel:
            held = [
                asyncio.ensure_future(http.post("/v1/chat/completions", json={}, headers=front.basic))
                for _ in range(calls)
            ]
            await reached(lambda: len(core.calls) == calls, 30)
            refused = await http.get("/v1/models", headers=front.basic)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            assert refused.json()["error"] == {
                "message": text, "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded",
            }  # fmt: skip
            stub = inference_pb2_grpc.InferenceServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Chat(pb.ChatRequest(route="r"), metadata=tuple(front.basic.items()))
            assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, text)
            metadata: Any = caught.value.trailing_metadata()
            assert (metadata["retry-after"], metadata["grpc-retry-pushback-ms"]) == ("1", "1000")
            for call in held:
                call.cancel()
            await asyncio.gather(*held, return_exceptions=True)
    finally:
        await core.stop()
        front.stop()
