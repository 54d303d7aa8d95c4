"""Converts content blocks that only Anthropic supports to parts for other providers."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from adapters.anthropic.read_request import kind_of
from adapters.contract import Target
from adapters.fit import refuse
from adapters.json_object import MALFORMED, Obj, callers_object, of_request
from adapters.refusals import unsupported
from adapters.tool_results import with_media_behind
from sidecar.v1 import inference_pb2 as pb

# OpenAI requires a name for an inline file.
_FILE_NAME = "document.pdf"
_PLAIN_TEXT = "text/plain"
_ERROR = "Error: "


def fit_part(part: pb.ContentPart, target: Target, at: str) -> Iterator[pb.ContentPart]:
    """Returns the parts that replace it; none for an echo. Raises unsupported_parameter."""
    match part.WhichOneof("part"):
        case "file":
            yield from _document(part, target, at)
        case "other_json":
            yield from _other(part.other_json, target, at)
        case _:
            part.ClearField("extra_json")  # cache_control, citations
            yield part


def _document(part: pb.ContentPart, target: Target, at: str) -> Iterator[pb.ContentPart]:
    """Plain text becomes text, anything else stays a file. Title and context precede it."""
    members = callers_object(part.extra_json, at) if part.extra_json else {}
    _refuse_citations(bytes(members.get("citations", b"null")), target, at)
    context = Obj(part.extra_json.encode() or b"{}", at, of_request).string("context")
    part.ClearField("extra_json")
    part.file.ClearField("extra_json")
    if part.file.mime_type == _PLAIN_TEXT:
        text = part.file.data.decode("utf-8", "replace")
        yield pb.ContentPart(text="\n".join(each for each in (part.file.filename, context, text) if each))
        return
    if context:
        yield pb.ContentPart(text=context)
    if part.file.data and not part.file.filename:
        part.file.filename = _FILE_NAME
    yield part


def _refuse_citations(raw: bytes, target: Target, at: str) -> None:
    if raw != b"null" and b"true" in raw:
        refuse(target, f"{at}.citations", "citations", "only Anthropic supports citations")


def _other(text: str, target: Target, at: str) -> Iterator[pb.ContentPart]:
    block = Obj(text.encode(), at, of_request)
    kind = block.string("type") or ""
    match kind:
        case "search_result":
            _refuse_citations(block.take("citations") or b"null", target, at)
            yield from _texts(block, "title", "source", "content")
        case "document" if kind_of(block.members.get("source", b"")) == "content":
            _refuse_citations(block.take("citations") or b"null", target, at)
            source = block.object("source")
            assert source is not None
            yield from _texts(block, "title", "context")
            yield from _texts(source, "content")
        case "tool_reference":
            yield pb.ContentPart(text=block.string("tool_name") or "")
        case "server_tool_use":
            pass
        case _ if kind.endswith("_tool_result"):
            pass
        case _:
            raise unsupported(target.provider.name, f"{at}.{kind}", "only Anthropic supports such a block")


def _texts(block: Obj, *names: str) -> Iterator[pb.ContentPart]:
    """Joins strings, and texts in lists of blocks, into one text."""
    found: list[str] = []
    for name in names:
        raw = block.take(name)
        if raw is None:
            continue
        try:
            value = msgspec.json.decode(raw)
        except MALFORMED:
            continue
        for each in value if isinstance(value, list) else [value]:
            text = each.get("text") if isinstance(each, dict) else each
            found += [text] if isinstance(text, str) and text else []
    if found:
        yield pb.ContentPart(text="\n".join(found))


def says_nothing(message: pb.Message) -> bool:
    """Whether nothing is left of an answer that consisted of reasoning or server tools; other providers refuse empty
    ones. A tool result may be empty."""
    if message.role == pb.ROLE_TOOL or message.tool_calls:
        return False
    return all(
        part.WhichOneof("part") == "thinking" or (part.WhichOneof("part") == "text" and not part.text)
        for part in message.content
    )


def fit_results(messages: list[pb.Message]) -> list[pb.Message]:
    """Turns tool results into one text each; other formats do not support images and files in results."""
    out = with_media_behind(messages)
    for message in out:
        if message.role == pb.ROLE_TOOL:
            text = "\n".join(part.text for part in message.content if part.WhichOneof("part") == "text")
            del message.content[:]
            message.content.add(text=text)
            _say_error(message)
    return out


def _say_error(message: pb.Message) -> None:
    """The flag has no place elsewhere, so the text says it."""
    text = message.content[0].text
    if message.tool_error and not text.lower().startswith(("error", "<tool_use_error>")):
        message.content[0].text = _ERROR + text
    message.ClearField("tool_error")
