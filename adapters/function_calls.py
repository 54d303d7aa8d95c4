"""Function calls in the form that preceded tools at OpenAI: `function_call` in an assistant turn, and the role
function for the result. In a history, they become tool calls for every format without the older form."""

from __future__ import annotations

import msgspec

from adapters.copies import copied
from adapters.json_object import object_text
from adapters.thoughts import opened
from sidecar.v1 import inference_pb2 as pb

_MEMBER = "function_call"


def functions_as_tools(request: pb.ChatRequest) -> pb.ChatRequest:
    """Returns the request, or a copy."""
    if not any(f'"{_MEMBER}"' in message.extra_json for message in request.messages):
        return request
    out = copied(request)
    waiting: list[pb.ToolCall] = []
    for number, message in enumerate(out.messages):
        if message.role == pb.ROLE_ASSISTANT and (call := _call_of(message, f"call_{number}")) is not None:
            waiting.append(call)
        elif message.role == pb.ROLE_FUNCTION and waiting:
            message.role = pb.ROLE_TOOL
            message.tool_call_id = waiting.pop(0).id
            message.ClearField("name")
    return out


def _call_of(message: pb.Message, id_: str) -> pb.ToolCall | None:
    """Moves the call from the member to the message's calls. Returns None if there is none, or it is malformed."""
    members = dict(opened(message.extra_json.encode("utf-8", "surrogatepass")))
    made = dict(opened(members.get(_MEMBER, b"")))
    name, arguments = (_text(made.get(member)) for member in ("name", "arguments"))
    if not name:
        return None
    del members[_MEMBER]
    if (text := object_text(members)) is None:
        message.ClearField("extra_json")
    else:
        message.extra_json = text
    return message.tool_calls.add(id=id_, name=name, arguments_json=arguments or "{}")


def _text(raw: msgspec.Raw | None) -> str:
    return msgspec.json.decode(raw, type=str) if raw is not None and bytes(raw).startswith(b'"') else ""
