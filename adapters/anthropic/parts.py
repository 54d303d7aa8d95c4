"""Content parts -> content blocks."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from adapters.anthropic.thinking import thinking_block
from adapters.fit import Fit
from adapters.json_object import callers_object, decoded_string, merge_extra, of_request
from adapters.refusals import invalid
from sidecar.v1 import inference_pb2 as pb

_TEXT = frozenset({"type", "text"})
_SOURCED = frozenset({"type", "source"})
_SOURCE = frozenset({"type", "media_type", "data", "url", "file_id"})


def block_of(part: pb.ContentPart, fit: Fit, at: str) -> Any | None:
    """The block, ready for msgspec's encoder; None for a part that drop_params lets go. `at` is the part's path."""
    match part.WhichOneof("part"):
        case "text":
            return _with_extra({"type": "text", "text": part.text}, part, at, _TEXT)
        case "refusal":
            # An earlier answer's words of refusal are part of what the assistant said.
            return _with_extra({"type": "text", "text": part.refusal}, part, at, _TEXT)
        case "image":
            source = _image_source(part.image, at)
            kind = "document" if source.get("media_type") == "application/pdf" else "image"
            return _with_extra({"type": kind, "source": source}, part, at, _SOURCED)
        case "file":
            return _document(part, fit, at)
        case "thinking":
            return thinking_block(part, at)
        case "other_json":
            return _image_by_bare_url(part, at) or _other(part, at)
        case "audio":
            fit.refuse(f"{at}.input_audio", "messages[].content[].input_audio")
            return None
        case _:
            raise invalid(at, "a content part must have exactly one of its kinds")


def _with_extra(block: dict[str, Any], part: pb.ContentPart, at: str, owned: frozenset[str]) -> dict[str, Any]:
    return merge_extra(block, part.extra_json, at, owned)


def _image_source(image: pb.Image, at: str) -> dict[str, Any]:
    source = _source(image, f"{at}.image_url")
    return merge_extra(source, image.extra_json, f"{at}.image", _SOURCE)


def _document(part: pb.ContentPart, fit: Fit, at: str) -> dict[str, Any] | None:
    source = _source(part.file, f"{at}.file")
    kind = source.get("media_type", "application/pdf")
    if kind == "text/plain":
        source = _plain_text(source, at)
    elif kind != "application/pdf":
        why = f"a document must be application/pdf or text/plain, not {kind}"
        fit.refuse(f"{at}.file", "messages[].content[].file", why)
        return None
    source = merge_extra(source, part.file.extra_json, f"{at}.file", _SOURCE)
    block: dict[str, Any] = {"type": "document", "source": source}
    if part.file.HasField("filename"):
        block["title"] = part.file.filename
    return _with_extra(block, part, at, _SOURCED)


def _source(media: pb.Image | pb.File, at: str) -> dict[str, Any]:
    match media.WhichOneof("source"):
        case "data":
            if not media.mime_type:
                raise invalid(at, "bytes need a mime_type")
            data = base64.b64encode(media.data).decode()
            return {"type": "base64", "media_type": media.mime_type, "data": data}
        case "url":
            return _url_source(media.url, at)
        case "file_id":
            return {"type": "file", "file_id": media.file_id}
        case _:
            raise invalid(at, "needs data, url or file_id")


def _url_source(url: str, at: str) -> dict[str, Any]:
    """The API takes no data: URLs; what one holds goes as base64."""
    if url[:5].lower() != "data:":
        return {"type": "url", "url": url}
    kind, comma, data = url[5:].partition(",")
    words = [word.strip() for word in kind.split(";")]
    if not comma or not words[0] or words[-1].lower() != "base64":
        raise invalid(at, "a data: URL must have a media type and base64 data")
    return {"type": "base64", "media_type": words[0].lower(), "data": data}


def _plain_text(source: dict[str, Any], at: str) -> dict[str, Any]:
    try:
        text = base64.b64decode(source["data"], validate=True).decode()
    except ValueError as error:
        raise invalid(f"{at}.file", "text/plain must be base64 of UTF-8 text") from error
    return {"type": "text", "media_type": "text/plain", "data": text}


def _image_by_bare_url(part: pb.ContentPart, at: str) -> dict[str, Any] | None:
    """`{"type": "image_url", "image_url": "..."}`, a shorthand of some servers and clients of OpenAI's format."""
    members = callers_object(part.other_json, f"{at}.other_json")
    url = bytes(members.get("image_url", b""))
    if bytes(members.get("type", b"")) != b'"image_url"' or not url.startswith(b'"'):
        return None
    source = _url_source(decoded_string(url, f"{at}.image_url", of_request), f"{at}.image_url")
    return {"type": "image", "source": source}


def _other(part: pb.ContentPart, at: str) -> Any:
    members = callers_object(part.other_json, f"{at}.other_json")
    if not part.extra_json:
        return msgspec.Raw(part.other_json.encode())
    return merge_extra(dict(members), part.extra_json, at, frozenset())
