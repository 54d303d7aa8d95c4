"""Decodes turns and their content blocks.

A tool_result becomes a message of role tool. Text after a call in the same assistant turn becomes a separate
message, so that the order of blocks is kept. Blocks that only Anthropic supports become `other_json` parts,
unchanged.
"""

from __future__ import annotations

import base64
import binascii

from adapters.anthropic.seal import opened_thought
from adapters.json_object import Obj, array_items, decoded_string, object_text, of_request
from sidecar.v1 import inference_pb2 as pb

_ROLES = {"user": pb.ROLE_USER, "assistant": pb.ROLE_ASSISTANT, "system": pb.ROLE_SYSTEM}


def read_turn(turn: Obj) -> list[pb.Message]:
    """Returns the messages of a turn, in order. Raises invalid_request, with the path."""
    word = turn.string("role") or ""
    if word not in _ROLES:
        raise of_request(turn.at("role"), "one of user, assistant, system")
    role = _ROLES[word]
    raw = turn.take("content")
    if raw is None:
        raise of_request(turn.at("content"), "a string or an array")
    made: list[pb.Message] = []
    if raw.startswith(b'"'):
        made.append(
            pb.Message(role=role, content=[pb.ContentPart(text=decoded_string(raw, turn.at("content"), of_request))])
        )
    else:
        for item, path in array_items(raw, turn.at("content"), of_request):
            _add(made, role, item, path)
    if not made:
        made.append(pb.Message(role=role))
    if (extra := turn.extra()) is not None:
        made[0].extra_json = extra
    return made


def read_words(raw: bytes, path: str, into: pb.Message) -> None:
    """Reads a string or blocks as parts of the message."""
    if raw.startswith(b'"'):
        text = decoded_string(raw, path, of_request)
        if text:
            into.content.add(text=text)
        return
    for item, at in array_items(raw, path, of_request):
        into.content.append(_part(Obj(item, at, of_request), item))


def _add(made: list[pb.Message], role: pb.Role, raw: bytes, path: str) -> None:
    block = Obj(raw, path, of_request)
    kind = _kind(block)
    if kind == "tool_result" and role == pb.ROLE_USER:
        made.append(_tool_result(block))
        return
    last = made[-1] if made and made[-1].role == role else None
    if kind == "tool_use" and role == pb.ROLE_ASSISTANT:
        if last is None:
            made.append(last := pb.Message(role=role))
        last.tool_calls.append(_tool_use(block))
        return
    if last is None or last.tool_calls:
        made.append(last := pb.Message(role=role))
    last.content.append(_part(block, raw))


def _kind(block: Obj) -> str:
    raw = block.members.get("type")
    return "" if raw is None else decoded_string(bytes(raw), block.at("type"), of_request)


def _tool_use(block: Obj) -> pb.ToolCall:
    del block.members["type"]
    call = pb.ToolCall(id=block.string("id") or "", name=block.string("name") or "")
    if not call.name:
        raise of_request(block.at("name"), "a string")
    if not call.id:
        raise of_request(block.at("id"), "a string")
    written = block.json("input") or "{}"
    if not written.startswith("{"):
        raise of_request(block.at("input"), "an object")
    call.arguments_json = written  # spelled as received, since prefix caches of providers compare texts
    if (extra := block.extra()) is not None:
        call.extra_json = extra
    return call


def _tool_result(block: Obj) -> pb.Message:
    del block.members["type"]
    message = pb.Message(role=pb.ROLE_TOOL, tool_call_id=block.string("tool_use_id") or "")
    if not message.tool_call_id:
        raise of_request(block.at("tool_use_id"), "a string")
    if (content := block.take("content")) is not None:
        read_words(content, block.at("content"), message)
    if (failed := block.boolean("is_error")) is not None:
        message.tool_error = failed
    if (extra := block.extra()) is not None:
        message.extra_json = extra
    return message


def _part(block: Obj, raw: bytes) -> pb.ContentPart:
    part = pb.ContentPart()
    match block.string("type"):
        case "text":
            text = block.string("text")
            if text is None:
                raise of_request(block.at("text"), "a string")
            part.text = text
        case "image" if _read_source(block, part.image):
            pass
        case "document" if _read_document(block, part):
            pass
        case "thinking":
            sealed = block.string("signature") or ""
            part.thinking.CopyFrom(opened_thought(block.string("thinking") or "", sealed))
        case "redacted_thinking":
            part.thinking.CopyFrom(opened_thought("", block.string("data") or "", redacted=True))
        case None | "":
            raise of_request(block.at("type"), "a string")
        case _:
            return pb.ContentPart(other_json=raw.decode("utf-8", "replace"))
    if (extra := block.extra()) is not None:
        part.extra_json = extra
    return part


def _read_source(block: Obj, into: pb.Image | pb.File) -> bool:
    """Returns False, leaving the block as it is, for a source without a canonical field."""
    members = dict(block.members)
    source = block.object("source")
    if source is not None:
        match source.string("type"):
            case "base64" if (data := _bytes(source.string("data") or "")) is not None:
                into.data, into.mime_type = data, source.string("media_type") or ""
            case "text" if isinstance(into, pb.File) and (text := source.string("data")) is not None:
                into.data, into.mime_type = text.encode("utf-8", "replace"), source.string("media_type") or "text/plain"
            case "url" if url := source.string("url"):
                into.url = url
            case "file" if file_id := source.string("file_id"):
                into.file_id = file_id
        if into.WhichOneof("source") is not None:
            if (extra := object_text(source.members)) is not None:
                into.extra_json = extra
            return True
    block.members = members
    return False


def _read_document(block: Obj, part: pb.ContentPart) -> bool:
    if not _read_source(block, part.file):
        return False
    if (title := block.string("title")) is not None:
        part.file.filename = title
    return True


def _bytes(text: str) -> bytes | None:
    """Returns the bytes only if encoding them again gives the same text."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if data and base64.b64encode(data).decode() == text else None
