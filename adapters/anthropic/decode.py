"""Decodes a whole answer of POST /v1/messages."""

from __future__ import annotations

from adapters.anthropic.answer import finish_reason, untyped_block, usage_of
from adapters.anthropic.failure import in_band_error
from adapters.anthropic.json_answer import TOOL_NAME
from adapters.contract import Context
from adapters.errors import GatewayError, Kind
from adapters.json_object import Obj, json_text, of_answer
from adapters.thoughts import CLAUDE
from sidecar.v1 import inference_pb2 as pb


def decode(body: bytes, context: Context) -> pb.ChatResponse:
    """Returns the canonical answer. Raises upstream_protocol for a body that is not one complete message object."""
    obj = Obj(body, "", of_answer)
    if obj.string("type") == "error":
        raise in_band_error(obj)
    blocks = obj.array("content")
    if blocks is None or obj.string("role") not in ("assistant", "", None):
        raise GatewayError(Kind.UPSTREAM_PROTOCOL, "The provider's answer is not an assistant message.")
    native = obj.string("stop_reason") or ""
    message = pb.Message(role=pb.ROLE_ASSISTANT)
    kinds = {_add_block(message, raw, path) for raw, path in blocks}
    finish = finish_reason(native, answered=TOOL_NAME in kinds and not message.tool_calls)
    choice = pb.Choice(index=0, message=message, finish_reason=finish, native_finish_reason=native)
    answer = pb.ChatResponse(
        id=obj.string("id") or context.new_id("msg_"),
        created=context.now_s,
        model=obj.string("model"),
        choices=[choice],
    )
    if (usage := obj.object("usage")) is not None:
        if tier := usage.string("service_tier"):
            answer.service_tier = tier
        if (counts := usage_of(usage.members)) is not None:
            answer.usage.CopyFrom(counts)
    if (extra := obj.extra()) is not None:
        answer.extra_json = extra
    return answer


def _add_block(message: pb.Message, raw: bytes, path: str) -> str | None:
    """Returns the block's type; TOOL_NAME for a call of the gateway's own tool, whose input is the answer."""
    block = Obj(raw, path, of_answer)
    kind = block.string("type")
    match kind:
        case "text":
            message.content.add(text=block.string("text") or "", extra_json=block.extra())
        case "thinking":
            message.content.add(thinking=_thinking(block))
        case "redacted_thinking":
            data = block.string("data") or ""
            message.content.add(thinking=pb.Thinking(redacted=data.encode(), format=CLAUDE, extra_json=block.extra()))
        case "tool_use":
            call = _tool_call(block)
            if call.name == TOOL_NAME:
                message.content.add(text=call.arguments_json)
                return TOOL_NAME
            message.tool_calls.append(call)
        case "" | None:
            raise untyped_block()
        case _:
            # Server tools, their results and future additions of the API are kept whole, so that they can be sent
            # back.
            message.content.add(other_json=json_text(raw, path, of_answer))
    return kind


def _thinking(block: Obj) -> pb.Thinking:
    signature = block.string("signature")
    return pb.Thinking(
        text=block.string("thinking"),
        signature=signature.encode() if signature else None,
        format=CLAUDE,
        extra_json=block.extra(),
    )


def _tool_call(block: Obj) -> pb.ToolCall:
    return pb.ToolCall(
        id=block.string("id"),
        name=block.string("name"),
        arguments_json=block.json("input") or "{}",
        extra_json=block.extra(),
    )
