"""Encodes content parts as content blocks."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.anthropic.sources import PDF, is_text, plain_text, source_of, url_source
from adapters.anthropic.thinking import thinking_block
from adapters.fit import Fit
from adapters.json_object import Obj, callers_object, decoded_string, merge_extra, of_request
from adapters.refusals import invalid
from sidecar.v1 import inference_pb2 as pb

_TEXT = frozenset({"type", "text"})
_SOURCED = frozenset({"type", "source"})
_SOURCE = frozenset({"type", "media_type", "data", "url", "file_id"})


def block_of(part: pb.ContentPart, fit: Fit, at: str) -> Any | None:
    """Returns the block, ready for msgspec's encoder; None for a part that drop_params removes. `at` is the part's
    path."""
    match part.WhichOneof("part"):
        case "text":
            return _with_extra({"type": "text", "text": part.text}, part, at, _TEXT)
        case "refusal":
            # The refusal text of an earlier answer is part of what the assistant said.
            return _with_extra({"type": "text", "text": part.refusal}, part, at, _TEXT)
        case "image":
            source = _image_source(part.image, at)
            kind = "document" if source.get("media_type") == PDF else "image"
            return _with_extra({"type": kind, "source": source}, part, at, _SOURCED)
        case "file":
            return _document(part, fit, at)
        case "thinking":
            return thinking_block(part, at)
        case "other_json":
            return _image_by_bare_url(part, at) or _file_by_url(part, fit, at) or _other(part, at)
        case "audio":
            fit.refuse(f"{at}.input_audio", "messages[].content[].input_audio")
            return None
        case _:
            raise invalid(at, "a content part must have exactly one kind")


def _with_extra(block: dict[str, Any], part: pb.ContentPart, at: str, owned: frozenset[str]) -> dict[str, Any]:
    return merge_extra(block, part.extra_json, at, owned)


def _image_source(image: pb.Image, at: str) -> dict[str, Any]:
    source = source_of(image, f"{at}.image_url")
    return merge_extra(source, image.extra_json, f"{at}.image", _SOURCE)


def _document(part: pb.ContentPart, fit: Fit, at: str) -> dict[str, Any] | None:
    source = source_of(part.file, f"{at}.file")
    block = _file_block(source, part.file.filename if part.file.HasField("filename") else None, fit, at)
    if block is None:
        return None
    merge_extra(block["source"], part.file.extra_json, f"{at}.file", _SOURCE)
    return _with_extra(block, part, at, _SOURCED)


def _file_block(source: dict[str, Any], filename: str | None, fit: Fit, at: str) -> dict[str, Any] | None:
    """A document, or an image passed as a file."""
    kind = source.get("media_type", PDF)
    if kind.startswith("image/"):
        if filename is not None:
            fit.leave_out("messages[].content[].file.filename")
        return {"type": "image", "source": source}
    if is_text(kind):
        source = plain_text(source, f"{at}.file")
    elif kind != PDF:
        why = f"a document must be {PDF} or text, not {kind}"
        fit.refuse(f"{at}.file", "messages[].content[].file", why)
        return None
    return {"type": "document", "source": source} | ({} if filename is None else {"title": filename})


def _image_by_bare_url(part: pb.ContentPart, at: str) -> dict[str, Any] | None:
    """`{"type": "image_url", "image_url": "..."}`, a shorthand of some clients and servers of OpenAI's format."""
    members = callers_object(part.other_json, f"{at}.other_json")
    url = bytes(members.get("image_url", b""))
    if bytes(members.get("type", b"")) != b'"image_url"' or not url.startswith(b'"'):
        return None
    source = url_source(decoded_string(url, f"{at}.image_url", of_request), f"{at}.image_url")
    return {"type": "image", "source": source}


def _file_by_url(part: pb.ContentPart, fit: Fit, at: str) -> dict[str, Any] | None:
    """A file whose `file_data` does not fit into pb.File unchanged: a URL, bare base64, a data: URL with line
    breaks."""
    members = callers_object(part.other_json, f"{at}.other_json")
    if bytes(members.get("type", b"")) != b'"file"' or not bytes(members.get("file", b"")).startswith(b"{"):
        return None
    file = Obj(bytes(members["file"]), f"{at}.file", of_request)
    url, name = file.string("file_data"), file.string("filename")
    if url is None:
        return None
    if not url[:5].lower().startswith(("data:", "http:", "https")):
        url = f"data:base64,{url}"  # bare base64, as in OpenAI's Responses API
    return _file_block(url_source(url, f"{at}.file", name or ""), name, fit, at)


def _other(part: pb.ContentPart, at: str) -> Any:
    members = callers_object(part.other_json, f"{at}.other_json")
    if not part.extra_json:
        return msgspec.Raw(part.other_json.encode())
    return merge_extra(dict(members), part.extra_json, at, frozenset())
