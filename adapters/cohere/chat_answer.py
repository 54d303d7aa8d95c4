"""Decodes a whole answer of POST /v2/chat.

A tool plan becomes a thinking part with the native name tool_plan. Citations stay in the message's extra_json.
"""

from __future__ import annotations

from adapters.cohere.answer import add_usage, failed, finish_reason, inner, read_logprobs, read_usage
from adapters.cohere.failure import in_band, protocol
from adapters.cohere.messages import TOOL_PLAN
from adapters.contract import Context
from adapters.json_object import Obj, array_items, decoded_string, of_answer
from sidecar.v1 import inference_pb2 as pb

_NO_ARGUMENTS = ("", "null")  # what the model writes for a tool without parameters


def open_answer(body: bytes) -> Obj:
    """The members of an answer or an event. Raises upstream_protocol for anything but one JSON object."""
    try:
        if not body.isascii():
            body.decode()
    except UnicodeDecodeError:
        raise of_answer("the body", "valid UTF-8") from None
    return Obj(body, "", of_answer)


def decode(body: bytes, context: Context) -> pb.ChatResponse:
    obj = open_answer(body)
    native = obj.string("finish_reason") or ""
    if failed(native) or bytes(obj.members.get("message", b"")).startswith(b'"'):  # the format of an error body
        raise in_band(obj)
    message = obj.object("message")
    if message is None:
        raise protocol("it has no message")
    answer = pb.ChatResponse(
        id=obj.string("id") or context.new_id("chatcmpl-"), created=context.now_s, model=context.model
    )
    choice = answer.choices.add(index=0, finish_reason=finish_reason(native), native_finish_reason=native)
    _read_message(message, choice.message)
    read_logprobs(obj, choice)
    if (usage := inner(obj, "usage")) is not None:
        add_usage(answer, read_usage(usage))
        if rest := usage.extra():
            answer.usage.extra_json = joined_objects(answer.usage.extra_json, rest)
    if (extra := obj.extra()) is not None:
        answer.extra_json = extra
    return answer


def joined_objects(first: str, second: str) -> str:
    """Concatenates the text of two objects."""
    return f"{first[:-1]},{second[1:]}" if first else second


def _read_message(obj: Obj, into: pb.Message) -> None:
    into.role = pb.ROLE_ASSISTANT
    obj.take("role")
    if plan := obj.string(TOOL_PLAN):
        into.content.add(thinking=pb.Thinking(text=plan, native_name=TOOL_PLAN))
    content = obj.take("content")
    if content is not None and content.startswith(b'"'):
        into.content.add(text=decoded_string(content, obj.at("content"), of_answer))
    elif content is not None:
        for raw, path in array_items(content, obj.at("content"), of_answer):
            into.content.append(_read_part(raw, path))
    for call in obj.objects("tool_calls"):
        into.tool_calls.append(read_call(call))
    if (extra := obj.extra()) is not None:
        into.extra_json = extra


def _read_part(raw: bytes, path: str) -> pb.ContentPart:
    obj = Obj(raw, path, of_answer)
    part = pb.ContentPart()
    match obj.string("type"):
        case "text":
            part.text = obj.string("text") or ""
        case "thinking":
            part.thinking.text = obj.string("thinking") or ""
        case None:
            raise protocol(f"{path} has no type")
        case _:
            return pb.ContentPart(other_json=raw.decode())
    if (extra := obj.extra()) is not None:
        part.extra_json = extra
    return part


def read_call(obj: Obj) -> pb.ToolCall:
    call = pb.ToolCall(id=obj.string("id") or "")
    obj.take("type")
    function = obj.object("function")
    if function is None:
        raise protocol(f"{obj.path} has no function")
    call.name = function.string("name") or ""
    call.arguments_json = arguments(function.string("arguments") or "")
    if (extra := function.extra()) is not None:
        call.function_extra_json = extra
    if (extra := obj.extra()) is not None:
        call.extra_json = extra
    return call


def arguments(text: str) -> str:
    return "{}" if text.strip() in _NO_ARGUMENTS else text
