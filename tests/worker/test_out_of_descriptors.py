"""A worker without descriptors left says so, to be asked again: nothing of it is the provider's or the caller's fault."""

from __future__ import annotations

import resource
from typing import Any

import grpc
import grpc.aio
import pytest

from sidecar.v1 import inference_pb2 as pb
from tests.provider import Provider
from tests.worker.running import WorkerProcess, default_routes

HELLO = pb.ChatRequest(route="chat", messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hello")])])
FAILURES = 10  # twice what ejects an upstream


async def test_out_of_descriptors_is_overloaded_and_ejects_no_provider(provider: Provider) -> None:
    with Provider() as before:
        worker = WorkerProcess(default_routes(before.base_url))
        async with worker:
            await worker.inference().Chat(HELLO)  # the caller's connection is open, and what a call needs is imported
            await worker.reload(default_routes(provider.base_url))
            await _runs_out(worker, provider)


async def _runs_out(worker: WorkerProcess, provider: Provider) -> None:
    stub = worker.inference()
    soft, hard = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    assert soft == hard, "a worker takes what it may"
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (3, hard))
    for _ in range(FAILURES):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Chat(HELLO)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert caught.value.details() == "The gateway is out of file descriptors or memory."
        trailing: Any = caught.value.trailing_metadata()
        assert dict(trailing)["grpc-retry-pushback-ms"] == "1000"
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (hard, hard))
    assert (await stub.Chat(HELLO)).choices[0].message.content[0].text
    text = worker.log.read_text()
    assert "Too many open files (EMFILE)" in text
    assert "ejected" not in text
    assert "a bug" not in text
    assert len(provider.calls) == 1
