"""InferenceService: typed requests and answers."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from adapters import Task
from sidecar.domain.call import Call
from sidecar.domain.large_work import LARGE_BYTES, off_loop
from sidecar.gateway.gateway import Gateway
from sidecar.transport.abort import answers_errors
from sidecar.transport.caller import Context, caller_of, write_within
from sidecar.transport.unknown_fields import refuse_unknown_fields, refuse_unknown_fields_of_large
from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc


class InferenceServicer(inference_pb2_grpc.InferenceServiceServicer):
    """All methods work alike and differ in their task."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    @answers_errors
    def Chat(self, request: pb.ChatRequest, context: Context) -> Awaitable[Any]:
        return self._unary(request, context, Task.CHAT, "chat")

    @answers_errors
    def Complete(self, request: pb.CompleteRequest, context: Context) -> Awaitable[Any]:
        return self._unary(request, context, Task.COMPLETIONS, "complete")

    @answers_errors
    def Embed(self, request: pb.EmbedRequest, context: Context) -> Awaitable[Any]:
        return self._unary(request, context, Task.EMBEDDINGS, "embed")

    @answers_errors
    def StreamChat(self, request: pb.ChatRequest, context: Context) -> Awaitable[None]:
        return self._stream(request, context, Task.CHAT, "stream_chat")

    @answers_errors
    def StreamComplete(self, request: pb.CompleteRequest, context: Context) -> Awaitable[None]:
        return self._stream(request, context, Task.COMPLETIONS, "stream_complete")

    async def _unary(self, request: Any, context: Context, task: Task, operation: str) -> Any:
        call = self._call(request, context, task, operation, stream=False)
        if call.size_bytes <= LARGE_BYTES:
            refuse_unknown_fields(request)
        else:
            await off_loop(call.size_bytes, refuse_unknown_fields_of_large, request)
        answer = await self._gateway.unary(call)
        if answer.headers:
            context.set_trailing_metadata(answer.headers)
        message = answer.message
        message.upstream = answer.upstream
        if answer.left_out:
            message.left_out.extend(answer.left_out)
        if answer.size_bytes <= LARGE_BYTES:
            return message
        # the transport also accepts serialised messages
        return await off_loop(answer.size_bytes, message.SerializeToString)

    async def _stream(self, request: Any, context: Context, task: Task, operation: str) -> None:
        # write() rather than yield: cancelling a call then cancels our own await, which closes the provider's
        # connection at once.
        first = True

        def encode_chunk(chunk: Any) -> bytes:
            nonlocal first
            if first:
                chunk.upstream = answer.upstream
                chunk.left_out.extend(answer.left_out)
                first = False
            data: bytes = chunk.SerializeToString()
            return data

        call = self._call(request, context, task, operation, stream=True)
        if call.size_bytes <= LARGE_BYTES:
            refuse_unknown_fields(request)
        else:
            await off_loop(call.size_bytes, refuse_unknown_fields_of_large, request)
        answer = self._gateway.stream(call, encode_chunk=encode_chunk)
        async with answer:
            async for messages in answer:
                if messages:
                    await write_within(context, answer.write_s, *messages)
        if answer.headers:
            context.set_trailing_metadata(answer.headers)  # final values are known only at the end

    def _call(self, request: Any, context: Context, task: Task, operation: str, *, stream: bool) -> Call:
        caller = caller_of(context)
        consumer = self._gateway.consumers.of(caller)
        size_bytes = context.request_bytes
        return Call(
            task,
            operation,
            request.route,
            consumer,
            caller.request_id,
            stream,
            caller.deadline,
            request,
            size_bytes=size_bytes,
        )
