"""A whole answer of POST /v1/messages -> canonical chat response."""

from __future__ import annotations

from adapters._contract import Context
from adapters._errors import GatewayError, Kind
from adapters._thoughts import CLAUDE
from adapters.anthropic._answer import (
    MESSAGE,
    REDACTED,
    TEXT,
    THINKING,
    TOOL_USE,
    arguments_of,
    finish_reason,
    service_tier,
    usage_of,
)
from adapters.anthropic._failure import in_band_error
from adapters.anthropic._json import Members, Raw, inner, items, member, opened, rest, string, text_of
from sidecar.v1 import inference_pb2 as pb


def decode(body: bytes, context: Context) -> pb.ChatResponse:
    """The answer; upstream_protocol for a body that is not one whole message object."""
    members = opened(body, "an answer")
    if string(members, "type") == "error":
        raise in_band_error(members)
    if member(members, "content") is None or string(members, "role") not in ("assistant", ""):
        raise GatewayError(Kind.UPSTREAM_PROTOCOL, "the provider sent an answer that is not a message")
    usage = inner(members, "usage")
    native = string(members, "stop_reason")
    message = pb.Message(role=pb.ROLE_ASSISTANT)
    for raw in items(members, "content"):
        _add_block(message, raw)
    choice = pb.Choice(index=0, message=message, finish_reason=finish_reason(native), native_finish_reason=native)
    return pb.ChatResponse(
        id=string(members, "id") or context.new_id("msg_"),
        created=context.now_s,
        model=string(members, "model"),
        choices=[choice],
        usage=usage_of(usage),
        service_tier=service_tier(usage),
        extra_json=rest(members, MESSAGE),
    )


def _add_block(message: pb.Message, raw: Raw) -> None:
    block = opened(bytes(raw), "a content block")
    match string(block, "type"):
        case "text":
            message.content.add(text=string(block, "text"), extra_json=rest(block, TEXT))
        case "thinking":
            message.content.add(thinking=_thinking(block))
        case "redacted_thinking":
            redacted = pb.Thinking(
                redacted=string(block, "data").encode(), format=CLAUDE, extra_json=rest(block, REDACTED)
            )
            message.content.add(thinking=redacted)
        case "tool_use":
            message.tool_calls.append(_tool_call(block))
        case "":
            raise GatewayError(Kind.UPSTREAM_PROTOCOL, "the provider sent a content block without a type")
        case _:
            # Server tools and their results, and what the API adds later: whole, so that they can be sent back.
            message.content.add(other_json=text_of(raw))


def _thinking(block: Members) -> pb.Thinking:
    signature = string(block, "signature")
    return pb.Thinking(
        text=string(block, "thinking"),
        signature=signature.encode() if signature else None,
        format=CLAUDE,
        extra_json=rest(block, THINKING),
    )


def _tool_call(block: Members) -> pb.ToolCall:
    return pb.ToolCall(
        id=string(block, "id"),
        name=string(block, "name"),
        arguments_json=arguments_of(member(block, "input")),
        extra_json=rest(block, TOOL_USE),
    )
