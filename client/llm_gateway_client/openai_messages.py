"""Converts one turn of a conversation in OpenAI's format to a message of the typed service: role, content, tool
calls, reasoning."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from llm_gateway_client.members import Members, json_text, wrong
from llm_gateway_client.v1 import inference_pb2 as pb

ROLES: Final[Mapping[str, pb.Role]] = {
    "system": pb.ROLE_SYSTEM,
    "developer": pb.ROLE_DEVELOPER,
    "user": pb.ROLE_USER,
    "assistant": pb.ROLE_ASSISTANT,
    "tool": pb.ROLE_TOOL,
    "function": pb.ROLE_FUNCTION,
}
# Members in which providers put reasoning; the first one present counts.
THOUGHTS: Final = ("reasoning_content", "reasoning")
_DATA_URI = re.compile(r"data:([A-Za-z0-9.+/-]+);base64,(.*)", re.DOTALL)


def read_message(members: Members, into: pb.Message) -> None:
    """Raises InvalidRequest."""
    role = ROLES.get(members.string("role") or "")
    if role is None:
        raise wrong(members.at("role"), f"one of {', '.join(ROLES)}")
    into.role = role
    thought = next((name for name in THOUGHTS if isinstance(members.value.get(name), str)), None)
    if thought is not None:
        into.content.add(thinking=pb.Thinking(text=members.string(thought) or "", native_name=thought))
    _read_content(members, into)
    if (refusal := members.string("refusal")) is not None:
        into.content.add(refusal=refusal)
    if (name := members.string("name")) is not None:
        into.name = name
    if (call_id := members.string("tool_call_id")) is not None:
        into.tool_call_id = call_id
    for call in members.objects("tool_calls"):
        _read_call(call, into.tool_calls.add())
    if (extra := members.extra()) is not None:
        into.extra_json = extra


def _read_content(members: Members, into: pb.Message) -> None:
    content = members.value.get("content")
    if isinstance(content, str):
        into.content.add(text=members.string("content") or "")
        return
    if isinstance(content, dict) and into.role == pb.ROLE_ASSISTANT:
        members.object("content")
        into.content.add(text=json_text(content))  # an answer of Cloudflare to a JSON schema, sent back
        return
    if content is not None and not isinstance(content, list | tuple):
        raise wrong(members.at("content"), "a string or an array")
    for part in members.objects("content"):
        _read_part(part, into.content.add())


def _read_part(members: Members, into: pb.ContentPart) -> None:
    kind = members.string("type")
    if kind is None:
        raise wrong(members.at("type"), "a string")
    read = _PARTS.get(kind)
    if read is None or not read(members, into):
        into.Clear()
        into.other_json = json_text(members.value)
    elif (extra := members.extra()) is not None:
        into.extra_json = extra


def _read_text(members: Members, into: pb.ContentPart) -> bool:
    text = members.string("text")
    if text is None:
        raise wrong(members.at("text"), "a string")
    into.text = text
    return True


def _read_refusal(members: Members, into: pb.ContentPart) -> bool:
    into.refusal = members.string("refusal") or ""
    return True


def _read_image(members: Members, into: pb.ContentPart) -> bool:
    if isinstance(members.value.get("image_url"), str):  # a shorthand of some servers
        return False
    image = members.object("image_url")
    if image is None:
        raise wrong(members.at("image_url"), "an object")
    url = image.string("url")
    if url is None:
        raise wrong(image.at("url"), "a string")
    exact = _exact_data(url)
    if exact is None:
        into.image.url = url
    else:
        into.image.mime_type, into.image.data = exact
    if (detail := image.string("detail")) is not None:
        into.image.detail = detail
    if (extra := image.extra()) is not None:
        into.image.extra_json = extra
    return True


def _read_audio(members: Members, into: pb.ContentPart) -> bool:
    audio = members.object("input_audio")
    data = audio.string("data") if audio is not None else None
    exact = _exact_bytes(data) if data is not None else None
    if audio is None or exact is None:
        return False
    into.audio.data = exact
    into.audio.format = audio.string("format") or ""
    if (extra := audio.extra()) is not None:
        into.audio.extra_json = extra
    return True


def _read_file(members: Members, into: pb.ContentPart) -> bool:
    file = members.object("file")
    if file is None:
        return False
    file_id, data, name = file.string("file_id"), file.string("file_data"), file.string("filename")
    exact = _exact_data(data) if data is not None else None
    if (file_id is None) == (exact is None) or (data is not None and exact is None):
        return False
    if file_id is not None:
        into.file.file_id = file_id
    elif exact is not None:
        into.file.mime_type, into.file.data = exact
    if name is not None:
        into.file.filename = name
    if (extra := file.extra()) is not None:
        into.file.extra_json = extra
    return True


# False: these messages cannot represent the part exactly.
_PARTS: Mapping[str, Callable[[Members, pb.ContentPart], bool]] = {
    "text": _read_text,
    "refusal": _read_refusal,
    "image_url": _read_image,
    "input_audio": _read_audio,
    "file": _read_file,
}


def _read_call(members: Members, into: pb.ToolCall) -> None:
    into.id = members.string("id") or ""
    custom = members.object("custom") if members.string("type") == "custom" else None
    function = members.object("function") if custom is None else None
    inner = custom or function
    if inner is None:
        raise wrong(members.at("function"), "an object")
    into.name = inner.string("name") or ""
    if custom is not None:
        into.custom_input = inner.string("input") or ""
    else:
        into.arguments_json = _arguments(inner) or "{}"
    if (extra := inner.extra()) is not None:
        into.function_extra_json = extra
    if (extra := members.extra()) is not None:
        into.extra_json = extra


def _arguments(function: Members) -> str | None:
    """The JSON text of the arguments. Some callers pass the object itself."""
    if isinstance(function.value.get("arguments"), Mapping):
        return function.json("arguments")
    return function.string("arguments")


def _exact_data(url: str) -> tuple[str, bytes] | None:
    """Media type and bytes of a data URI, if encoding them again gives the same URI."""
    match: Any = _DATA_URI.fullmatch(url)
    data = _exact_bytes(match[2]) if match else None
    return None if data is None else (match[1], data)


def _exact_bytes(text: str) -> bytes | None:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None
