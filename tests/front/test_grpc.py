"""gRPC through the front."""

from __future__ import annotations

from sidecar.v1 import inference_pb2, inference_pb2_grpc

from .conftest import Front
from .double import Core


async def test_a_unary_call_with_basic_auth_is_answered(front: Front, core: Core) -> None:
    async with front.channel() as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        answer = await stub.Chat(inference_pb2.ChatRequest(), metadata=tuple(front.basic.items()), timeout=10)
    assert answer.id == "one"
    assert ("x-sidecar-user", "alice") in core.call.metadata
