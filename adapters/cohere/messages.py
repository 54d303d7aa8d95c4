"""Encodes messages for /v2/chat (https://docs.cohere.com/reference/chat).

A thought with the native name tool_plan is sent back as `tool_plan`, any other as a block of type thinking.
Citations of an earlier answer are kept in the message's extra_json.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from adapters.fit import Fit
from adapters.json_object import Obj, merge_extra, of_request, raw_json
from adapters.refusals import invalid
from adapters.tool_arguments import NAME, as_object
from sidecar.v1 import inference_pb2 as pb

TOOL_PLAN = "tool_plan"
_ROLES = {
    pb.ROLE_SYSTEM: "system",
    pb.ROLE_DEVELOPER: "system",  # the API has a single role for instructions
    pb.ROLE_USER: "user",
    pb.ROLE_ASSISTANT: "assistant",
    pb.ROLE_TOOL: "tool",
}
_MESSAGE = frozenset({"role", "content", "tool_calls", "tool_call_id"})
_TEXT = frozenset({"type", "text"})
_THINKING = frozenset({"type", "thinking"})
_IMAGE = frozenset({"type", "image_url"})
_CALL = frozenset({"id", "type", "function"})
_FUNCTION = frozenset({"name", "arguments"})


def write_message(message: pb.Message, fit: Fit, at: str) -> dict[str, Any]:
    """`at` is the message's path. Raises unsupported_parameter and invalid_request."""
    _refuse_misplaced(message, fit, at)
    out: dict[str, Any] = {"role": _role(message, fit, at)}
    plan = "".join(part.thinking.text for part in message.content if _is_plan(part))
    parts = [_part(part, fit, f"{at}.content[{i}]") for i, part in enumerate(message.content) if not _is_plan(part)]
    content = [part for part in parts if part is not None]
    if content:
        out["content"] = _compact(content)
    if plan:
        out[TOOL_PLAN] = plan
    calls = [_call(call, fit, f"{at}.tool_calls[{i}]") for i, call in enumerate(message.tool_calls)]
    if calls:
        out["tool_calls"] = [call for call in calls if call is not None]
    if message.role == pb.ROLE_TOOL:
        if not message.tool_call_id:
            raise invalid(f"{at}.tool_call_id", "a tool message requires it")
        out["tool_call_id"] = message.tool_call_id
    if "content" not in out and not plan and not calls:
        out["content"] = ""
    return merge_extra(out, message.extra_json, at, _MESSAGE)


def is_empty_turn(written: Mapping[str, Any]) -> bool:
    """Whether an assistant turn is empty: an answer that only consisted of another provider's reasoning, or was cut
    off."""
    return written["role"] == "assistant" and not any(
        written.get(name) for name in ("content", "tool_calls", TOOL_PLAN)
    )


def _role(message: pb.Message, fit: Fit, at: str) -> str:
    if message.role in _ROLES:
        return _ROLES[message.role]
    if message.role == pb.ROLE_FUNCTION:
        raise fit.unsupported(f"{at}.role", "role function is retired; use role tool")
    raise invalid(f"{at}.role", "a role is needed")


def _refuse_misplaced(message: pb.Message, fit: Fit, at: str) -> None:
    if message.tool_error:
        fit.refuse(f"{at}.tool_error", "messages[].tool_error")
    if message.tool_calls and message.role != pb.ROLE_ASSISTANT:
        raise invalid(f"{at}.tool_calls", "only an assistant calls tools")
    if message.HasField("tool_call_id") and message.role != pb.ROLE_TOOL:
        raise invalid(f"{at}.tool_call_id", "only a tool message can have it")


def _is_plan(part: pb.ContentPart) -> bool:
    return part.thinking.native_name == TOOL_PLAN


def _compact(parts: list[Any]) -> Any:
    """Writes a lone text without further members as a string, as most clients do."""
    if len(parts) == 1 and isinstance(parts[0], dict) and parts[0].keys() == _TEXT:
        return parts[0]["text"]
    return parts


def _part(part: pb.ContentPart, fit: Fit, at: str) -> Any | None:
    """Returns None for a part that drop_params removes."""
    match part.WhichOneof("part"):
        case "text":
            return merge_extra({"type": "text", "text": part.text}, part.extra_json, at, _TEXT)
        case "refusal":
            # An earlier answer's words of refusal are part of what the assistant said.
            return merge_extra({"type": "text", "text": part.refusal}, part.extra_json, at, _TEXT)
        case "image":
            image = _image(part.image, fit, at)
            return None if image is None else merge_extra(image, part.extra_json, at, _IMAGE)
        case "thinking":
            return _thinking(part, at)
        case "other_json":
            return _other(part, at)
        case "file":
            why = "send documents as parts of type document, or in the member documents"
            fit.refuse(f"{at}.file", "messages[].content[].file", why)
            return None
        case "audio":
            fit.refuse(f"{at}.input_audio", "messages[].content[].input_audio")
            return None
        case _:
            raise invalid(at, "a content part must have exactly one kind")


def _image(image: pb.Image, fit: Fit, at: str) -> dict[str, Any] | None:
    match image.WhichOneof("source"):
        case "url":
            url = image.url
        case "data":
            if not image.mime_type:
                raise invalid(f"{at}.image_url", "bytes need a mime_type")
            url = f"data:{image.mime_type};base64,{base64.b64encode(image.data).decode()}"
        case "file_id":
            why = "it does not store files; send bytes or a URL"
            fit.refuse(f"{at}.image_url", "messages[].content[].image_url", why)
            return None
        case _:
            raise invalid(f"{at}.image_url", "needs data or url")
    fields = {"url": url}
    if image.HasField("detail"):
        fields["detail"] = image.detail
    return {"type": "image_url", "image_url": merge_extra(fields, image.extra_json, f"{at}.image", frozenset(fields))}


def _thinking(part: pb.ContentPart, at: str) -> dict[str, Any]:
    thinking = part.thinking
    block = merge_extra({"type": "thinking", "thinking": thinking.text}, thinking.extra_json, at, _THINKING)
    return merge_extra(block, part.extra_json, at, _THINKING)


def _other(part: pb.ContentPart, at: str) -> Any:
    members = Obj(part.other_json.encode("utf-8", "surrogatepass"), f"{at}.other_json", of_request).members
    if not part.extra_json:
        return raw_json(part.other_json, f"{at}.other_json")
    return merge_extra(dict(members), part.extra_json, at, frozenset())


def _call(call: pb.ToolCall, fit: Fit, at: str) -> dict[str, Any] | None:
    if call.HasField("custom_input"):
        fit.refuse(f"{at}.custom", "messages[].tool_calls[].custom", "it only supports functions")
        return None
    arguments, same = as_object(call.arguments_json)
    if not same:
        fit.leave_out(NAME, needed=True)
    function = {"name": call.name, "arguments": arguments}
    function = merge_extra(function, call.function_extra_json, f"{at}.function", _FUNCTION)
    fields = {"id": call.id, "type": "function", "function": function}
    return merge_extra(fields, call.extra_json, at, _CALL)
