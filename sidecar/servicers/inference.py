"""InferenceService: typed calls in, typed answers out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from adapters import Task
from sidecar.caller import Context, caller_of
from sidecar.calls import Call
from sidecar.gateway import Gateway
from sidecar.status import answering
from sidecar.strict import refuse_unknown_fields
from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc
from sidecar.writing import write_within


class InferenceServicer(inference_pb2_grpc.InferenceServiceServicer):
    """Every method: same steps, another task."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def Chat(self, request: pb.ChatRequest, context: Context) -> Any:
        return await self._unary(request, context, Task.CHAT, "chat")

    async def Complete(self, request: pb.CompleteRequest, context: Context) -> Any:
        return await self._unary(request, context, Task.COMPLETIONS, "complete")

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> Any:
        return await self._unary(request, context, Task.EMBEDDINGS, "embed")

    async def StreamChat(self, request: pb.ChatRequest, context: Context) -> None:
        await self._stream(request, context, Task.CHAT, "stream_chat")

    async def StreamComplete(self, request: pb.CompleteRequest, context: Context) -> None:
        await self._stream(request, context, Task.COMPLETIONS, "stream_complete")

    async def _unary(self, request: Any, context: Context, task: Task, operation: str) -> Any:
        async with answering(context):
            call = self._call(request, context, task, operation)
            try:
                answer = await self._gateway.unary(call)
            finally:
                _say_limits(call, context)
            answer.message.upstream = answer.upstream
            answer.message.left_out.extend(call.left_out)
            return answer.message

    async def _stream(self, request: Any, context: Context, task: Task, operation: str) -> None:
        async with answering(context):
            call = self._call(request, context, task, operation, stream=True)
            pieces: AsyncGenerator[Any, None] = self._gateway.stream(call)
            first = True
            # write() and not yield: a cancelled call is then cancelled inside our own await, and the provider's
            # connection closes at once.
            try:
                async with aclosing(pieces):
                    async for chunks in pieces:
                        for chunk in chunks or ():
                            if first:
                                chunk.upstream = call.upstream or ""
                                chunk.left_out.extend(call.left_out)
                                first = False
                            await write_within(context, chunk, call.write_s)
            finally:
                _say_limits(call, context)

    def _call(self, request: Any, context: Context, task: Task, operation: str, *, stream: bool = False) -> Call:
        caller = caller_of(context)
        refuse_unknown_fields(request)
        return Call(
            task=task,
            operation=operation,
            route=request.route,
            consumer=self._gateway.consumers.of(caller),
            request_id=caller.request_id,
            stream=stream,
            deadline=caller.deadline,
            request=request,
        )


def _say_limits(call: Call, context: Context) -> None:
    """x-ratelimit-* and x-sidecar-budget, at the end of an answer or of a refusal: by then they are true."""
    if call.headers:
        context.set_trailing_metadata(call.headers)
