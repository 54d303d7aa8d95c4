"""Encodes images and documents (bytes, data: URLs, URLs, file ids) as `source` members.

The API compares an image's declared media type with its bytes and refuses a mismatch, refuses `image/jpg`, and
refuses line breaks in base64. Clients of OpenAI's format send all three, because OpenAI accepts them. So the type is
detected from the first bytes if possible, and whitespace is removed from base64. The bytes themselves never change.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
from typing import Any

from adapters.refusals import invalid
from sidecar.v1 import inference_pb2 as pb

PDF = "application/pdf"
# Text documents are sent as text: the API has a single media type for them.
_TEXT_TYPES = frozenset(
    {
        "application/javascript",
        "application/json",
        "application/sql",
        "application/toml",
        "application/x-ndjson",
        "application/x-sh",
        "application/x-yaml",
        "application/xml",
        "application/yaml",
    }
)
_UNSPECIFIC = ("", "application/octet-stream", "binary/octet-stream")
_ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "application/x-pdf": PDF,
}
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", PDF),
)
# Base64 characters for 12 bytes, the length of the longest signature.
_HEAD_CHARACTERS = 16


def source_of(media: pb.Image | pb.File, at: str) -> dict[str, Any]:
    """A `source` of type base64, url or file. Raises invalid_request, with the path, if there is none."""
    match media.WhichOneof("source"):
        case "data":
            kind = media_type(media.mime_type, media.data[:12], _filename(media))
            if not kind:
                raise invalid(at, "bytes need a mime_type")
            return {"type": "base64", "media_type": kind, "data": base64.b64encode(media.data).decode()}
        case "url":
            return url_source(media.url, at, _filename(media))
        case "file_id":
            return {"type": "file", "file_id": media.file_id}
        case _:
            raise invalid(at, "needs data, url or file_id")


def url_source(url: str, at: str, filename: str = "") -> dict[str, Any]:
    """The API does not accept data: URLs, so their contents are sent as base64."""
    if url[:5].lower() != "data:":
        return {"type": "url", "url": url}
    declared, comma, data = url[5:].partition(",")
    words = [word.strip().lower() for word in declared.split(";")]
    if not comma or words[-1] != "base64":
        raise invalid(at, "a data: URL must hold base64 data")
    data = "".join(data.split())
    kind = media_type(words[0] if len(words) > 1 else "", _head(data), filename)
    if not kind:
        raise invalid(at, "a data: URL needs a media type unless its data reveals it")
    return {"type": "base64", "media_type": kind, "data": data}


def media_type(declared: str, head: bytes, filename: str = "") -> str:
    """Returns the type detected from the first bytes (12 suffice), else the declared type, else the file name's; ""
    if unknown.

    A declared type other than an image or PDF is trusted, since other formats may have the same signature.
    """
    declared = _ALIASES.get(declared.strip().lower(), declared.strip().lower())
    if declared in _UNSPECIFIC or declared == PDF or declared.startswith("image/"):
        declared = _detected(head) or declared
    if declared in _UNSPECIFIC:
        return mimetypes.guess_type(filename)[0] or ""
    return declared


def is_text(kind: str) -> bool:
    return kind.startswith("text/") or kind in _TEXT_TYPES


def plain_text(source: dict[str, Any], at: str) -> dict[str, Any]:
    """Converts a base64 source to a text source. Raises invalid_request if it is not UTF-8."""
    try:
        text = base64.b64decode(source["data"], validate=True).decode()
    except ValueError as error:
        raise invalid(at, f"{source['media_type']} must be base64 of UTF-8 text") from error
    return {"type": "text", "media_type": "text/plain", "data": text}


def _detected(head: bytes) -> str:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for beginning, kind in _BEGINNINGS if head.startswith(beginning)), "")


def _head(data: str) -> bytes:
    try:
        return base64.b64decode(data[:_HEAD_CHARACTERS])
    except binascii.Error:  # the API reports what is wrong with it
        return b""


def _filename(media: pb.Image | pb.File) -> str:
    return media.filename if isinstance(media, pb.File) else ""
