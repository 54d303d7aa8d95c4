"""Content parts, both directions. A part that these messages cannot represent exactly is kept whole as other_json."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from adapters.errors import GatewayError, Kind
from adapters.json_object import Obj, array_items, decoded_string, merge_extra, of_answer, raw_json
from adapters.openai.thinking_parts import is_part, read_thought, write_thought
from adapters.refusals import unsupported
from sidecar.v1 import inference_pb2 as pb

_DATA_URI = re.compile(r"data:([A-Za-z0-9.+/-]+);base64,(.*)", re.DOTALL)
_STRING_START = b'"'


def read_content(message: Obj, into: pb.Message) -> None:
    """Reads a message's content: a string is one text part."""
    raw = message.take("content")
    if raw is None:
        return
    path = message.at("content")
    if raw.startswith(_STRING_START):
        into.content.add(text=decoded_string(raw, path, message.refusal))
        return
    if raw.startswith(b"{") and (message.refusal is of_answer or into.role == pb.ROLE_ASSISTANT):
        into.content.add(text=raw.decode())  # Cloudflare: the object itself if a JSON schema was requested
        return
    if not raw.startswith(b"["):
        raise message.refusal(path, "a string or an array")
    for item, item_path in array_items(raw, path, message.refusal):
        if item.startswith(_STRING_START) and message.refusal is of_answer:
            into.content.add(text=decoded_string(item, item_path, message.refusal))
            continue
        into.content.append(_read_part(Obj(item, item_path, message.refusal), item))


def _read_part(obj: Obj, raw: bytes) -> pb.ContentPart:
    kind = obj.string("type")
    if kind is None:
        raise obj.refusal(obj.at("type"), "a string")
    part = pb.ContentPart()
    if obj.refusal is of_answer and (thought := read_thought(kind, obj)) is not None:
        return pb.ContentPart(thinking=thought)
    reader = _READERS.get(kind)
    if reader is None or not reader(obj, part):
        return pb.ContentPart(other_json=raw.decode("utf-8", "replace"))
    if (extra := obj.extra()) is not None:
        part.extra_json = extra
    return part


def _read_text(obj: Obj, part: pb.ContentPart) -> bool:
    text = obj.string("text")
    if text is None:
        raise obj.refusal(obj.at("text"), "a string")
    part.text = text
    return True


def _read_refusal(obj: Obj, part: pb.ContentPart) -> bool:
    part.refusal = obj.string("refusal") or ""
    return True


def _read_image(obj: Obj, part: pb.ContentPart) -> bool:
    raw = obj.take("image_url")
    if raw is None:
        raise obj.refusal(obj.at("image_url"), "an object")
    if raw.startswith(_STRING_START):  # a shorthand of some servers
        return False
    image = Obj(raw, obj.at("image_url"), obj.refusal)
    url = image.string("url")
    if url is None:
        raise obj.refusal(image.at("url"), "a string")
    exact = _exact_data(url)
    if exact is None:
        part.image.url = url
    else:
        part.image.mime_type, part.image.data = exact
    if (detail := image.string("detail")) is not None:
        part.image.detail = detail
    if (extra := image.extra()) is not None:
        part.image.extra_json = extra
    return True


def _read_audio(obj: Obj, part: pb.ContentPart) -> bool:
    audio = obj.object("input_audio")
    data = audio.string("data") if audio is not None else None
    exact = _exact_bytes(data) if data is not None else None
    if audio is None or exact is None:
        return False
    part.audio.data = exact
    part.audio.format = audio.string("format") or ""
    if (extra := audio.extra()) is not None:
        part.audio.extra_json = extra
    return True


def _read_file(obj: Obj, part: pb.ContentPart) -> bool:
    file = obj.object("file")
    if file is None:
        return False
    file_id, data, name = file.string("file_id"), file.string("file_data"), file.string("filename")
    exact = _exact_data(data) if data is not None else None
    if (file_id is None) == (exact is None) or (data is not None and exact is None):
        return False
    if file_id is not None:
        part.file.file_id = file_id
    elif exact is not None:
        part.file.mime_type, part.file.data = exact
    if name is not None:
        part.file.filename = name
    if (extra := file.extra()) is not None:
        part.file.extra_json = extra
    return True


_READERS = {
    "text": _read_text,
    "refusal": _read_refusal,
    "image_url": _read_image,
    "input_audio": _read_audio,
    "file": _read_file,
}


def _exact_data(url: str) -> tuple[str, bytes] | None:
    """Media type and bytes of a data URI, if encoding them again gives the same URI."""
    match = _DATA_URI.fullmatch(url)
    data = _exact_bytes(match[2]) if match else None
    return (match[1], data) if match and data is not None else None


def _exact_bytes(text: str) -> bytes | None:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None


def _data_uri(mime_type: str, data: bytes, path: str) -> str:
    if not mime_type:
        raise GatewayError(
            Kind.INVALID_REQUEST, f"'{path}.mime_type' must be set with data.", param=f"{path}.mime_type"
        )
    return f"data:{mime_type};base64,{base64.b64encode(data).decode()}"


def write_part(part: pb.ContentPart, path: str, provider: str) -> Any:
    """Encodes a part in a request. Raises unsupported_parameter for what this format cannot express."""
    match part.WhichOneof("part"):
        case "text":
            out: dict[str, Any] = {"type": "text", "text": part.text}
        case "refusal":
            out = {"type": "refusal", "refusal": part.refusal}
        case "image":
            out = {"type": "image_url", "image_url": _write_image(part.image, f"{path}.image", provider)}
        case "audio":
            audio = {"data": base64.b64encode(part.audio.data).decode(), "format": part.audio.format}
            out = {"type": "input_audio", "input_audio": merge_extra(audio, part.audio.extra_json, path, frozenset())}
        case "file":
            out = {"type": "file", "file": _write_file(part.file, f"{path}.file", provider)}
        case "thinking" if is_part(part.thinking):
            return write_thought(part.thinking, f"{path}.thinking")
        case "other_json":
            return raw_json(part.other_json, f"{path}.other_json")
        case _:
            raise GatewayError(Kind.INVALID_REQUEST, f"'{path}' has no part that can be sent.", param=path)
    return merge_extra(out, part.extra_json, path, frozenset())


def _write_image(image: pb.Image, path: str, provider: str) -> dict[str, Any]:
    match image.WhichOneof("source"):
        case "data":
            out: dict[str, Any] = {"url": _data_uri(image.mime_type, image.data, path)}
        case "url":
            out = {"url": image.url}
        case _:
            raise unsupported(provider, f"{path}.file_id", drop_as="messages[].content[].image_url")
    if image.HasField("detail"):
        out["detail"] = image.detail
    return merge_extra(out, image.extra_json, path, frozenset({"url", "detail"}))


def _write_file(file: pb.File, path: str, provider: str) -> dict[str, Any]:
    match file.WhichOneof("source"):
        case "data":
            out: dict[str, Any] = {"file_data": _data_uri(file.mime_type, file.data, path)}
        case "file_id":
            out = {"file_id": file.file_id}
        case _:
            raise unsupported(provider, f"{path}.url", drop_as="messages[].content[].file")
    if file.HasField("filename"):
        out["filename"] = file.filename
    return merge_extra(out, file.extra_json, path, frozenset({"file_data", "file_id", "filename"}))
