"""The whole gateway behind either front: what listens, and where a caller's credential goes."""

from __future__ import annotations

import base64
import os
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from sidecar.front.programs import PROGRAMS
from sidecar.v1 import inference_pb2_grpc
from tests.conformance.listeners import Listener, listeners
from tests.provider import Provider
from tests.stack.load import chat_body, chat_request
from tests.stack.stack import FRONT, Stack, config_for
from tests.supervisor.supervised import descendants

pytestmark = pytest.mark.slow
# Paths in run/ of the state directory, and in the front's own run/.
OF_WORKERS = r"([ws]\d+-\d+|grpc)\.sock"  # of each worker: for the front, for grpc.sock
OF_FRONT = {"nginx": {"metrics.sock"}, "envoy": {"users.sock", "admin.sock", "metrics.sock"}}
OF_SUPERVISOR = {"reload.sock"}


@pytest.fixture(scope="module")
def simulator() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="module", params=list(PROGRAMS))
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, simulator: Provider
) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("whole"), config_for(simulator), front=request.param) as running:
        yield running


def _found(stack: Stack) -> set[Listener]:
    return listeners([stack.supervisor_pid, *descendants(stack.supervisor_pid)])


def test_only_what_is_meant_to_listen_does(stack: Stack) -> None:
    found = _found(stack)
    metrics = stack.env["SIDECAR_METRICS"].split("/")[2]
    ports = {f"127.0.0.1:{stack.port}", stack.grpc_local, metrics}
    assert {each.address for each in found if each.kind == "tcp"} == ports
    assert {each for each in found if each.kind == "udp"} == set()
    names = set()
    for each in found:
        if each.kind == "unix":
            path = Path(os.readlink(f"/proc/{each.pid}/cwd"), each.address)
            names.add(path.name)
            assert path.is_relative_to(stack.state), each
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700, each
    workers = {name for name in names if re.fullmatch(OF_WORKERS, name)}
    assert len(workers) >= 2
    assert names - workers == OF_FRONT[stack.front] | OF_SUPERVISOR


def test_the_audit_sees_each_kind_of_listener(tmp_path: Path) -> None:
    """The control."""
    before = listeners([os.getpid()])
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        udp.bind(("127.0.0.1", 0))
        unix.bind(str(tmp_path / "a.sock"))
        unix.listen()
        found = {(each.kind, each.address) for each in listeners([os.getpid()]) - before}
        assert found == {
            ("tcp", f"127.0.0.1:{tcp.getsockname()[1]}"),
            ("udp", f"127.0.0.1:{udp.getsockname()[1]}"),
            ("unix", str(tmp_path / "a.sock")),
        }


async def test_a_callers_credential_goes_no_further_than_the_front(stack: Stack, simulator: Provider) -> None:
    before = len(simulator.calls)
    pair = f"{stack.user}:{stack.password}"
    for headers in ({"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}, {}):
        with stack.http() as http:
            assert http.post("/v1/chat/completions", json=chat_body(), headers=headers).status_code == 200
            assert (
                http.post("/v1/chat/completions", json=chat_body(model="nothing"), headers=headers).status_code == 404
            )
            assert http.get(f"/v1/models?api_key={stack.api_key}", headers=headers).status_code == 400
    async with stack.channel(FRONT) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        await stub.Chat(chat_request(), metadata=stack.metadata(FRONT), timeout=30)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Chat(chat_request(route="nothing"), metadata=stack.metadata(FRONT), timeout=30)
    calls = simulator.calls[before:]
    assert len(calls) == 3
    sent = "".join(f"{call.target} {call.header_list} {call.body!r}" for call in calls)
    assert "upstream-key" in sent  # the control: what a provider is sent can be read here
    for piece in (stack.password, stack.api_key[:24], stack.api_key[-24:]):
        assert piece not in sent
        # Once, what `up` said to its operator, is where it belongs.
        assert piece not in stack.log.replace(stack.api_key, "", _announcement(stack))


def _announcement(stack: Stack) -> int:
    """How often `up` itself shows the key at its start."""
    return stack.process.output.partition("Ctrl-C")[0].count(stack.api_key)
