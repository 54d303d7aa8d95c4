"""No worker left: the front says so in the caller's language, at once, and serves again when the workers are back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc
from tests.processes import is_alive, reached, wait_until
from tests.provider import Provider
from tests.stack.stack import FRONT, LOCAL, Stack, config_for

pytestmark = pytest.mark.slow
AT_ONCE_S = 5.0
CHAT = {"model": "chat", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def headless(tmp_path: Path, provider: Provider) -> Iterator[Stack]:
    """A stack whose workers are dead and whose supervisor sleeps, so that they stay so."""
    with Stack(tmp_path, config_for(provider)) as stack:
        pids = stack.worker_pids
        os.kill(stack.supervisor_pid, signal.SIGSTOP)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, pids)))
        yield stack
        os.kill(stack.supervisor_pid, signal.SIGCONT)


async def test_a_dead_core_is_unavailable_over_grpc_and_503_over_rest_until_it_is_back(headless: Stack) -> None:
    request = pb.ChatRequest(route="chat", messages=[pb.Message(role=pb.ROLE_USER)])
    for entrance in (FRONT, LOCAL):
        async with headless.channel(entrance) as channel:
            service: Any = inference_pb2_grpc.InferenceServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as dead:
                await service.Chat(request, metadata=headless.metadata(entrance), timeout=20)
        assert dead.value.code() is grpc.StatusCode.UNAVAILABLE, entrance
    async with headless.async_http() as http:
        for body in (CHAT, {**CHAT, "stream": True}):
            begun_s = time.monotonic()
            answer = await http.post("/v1/chat/completions", json=body)
            assert time.monotonic() - begun_s < AT_ONCE_S
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/json")
            assert answer.headers["retry-after"] == "1"
            assert answer.json()["error"] == {
                "message": "The gateway core does not answer.",
                "type": "api_error",
                "param": None,
                "code": "core_unavailable",
            }
        os.kill(headless.supervisor_pid, signal.SIGCONT)
        await reached(lambda: headless.process.output.count(" is serving.\n") >= 4, what="the new workers")
        assert (await http.post("/v1/chat/completions", json=CHAT)).status_code == 200
