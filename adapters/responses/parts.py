"""Decodes content parts of items."""

from __future__ import annotations

import base64
import binascii
import re

from adapters.json_object import Obj, array_items, decoded_string, of_request
from sidecar.v1 import inference_pb2 as pb

_DATA_URI = re.compile(r"data:([^;,]*);base64,(.*)", re.DOTALL)
_TEXTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")


def read_content(raw: bytes, path: str, into: pb.Message) -> None:
    """Reads a string, or parts. Raises invalid_request."""
    if raw.startswith(b'"'):
        text = decoded_string(raw, path, of_request)
        if text:
            into.content.add(text=text)
        return
    for item, at in array_items(raw, path, of_request):
        into.content.append(_part(Obj(item, at, of_request), item))


def _part(obj: Obj, raw: bytes) -> pb.ContentPart:
    kind = obj.string("type")
    if kind in _TEXTS:
        text = obj.string("text")
        if text is None:
            raise of_request(obj.at("text"), "a string")
        return pb.ContentPart(text=text)
    if kind == "refusal":
        return pb.ContentPart(refusal=obj.string("refusal") or "")
    if kind == "input_image":
        return pb.ContentPart(image=_image(obj))
    if kind == "input_file":
        return pb.ContentPart(file=_file(obj))
    if kind == "input_audio" and (audio := obj.object("input_audio")) is not None:
        data = _bytes(audio.string("data") or "", audio.at("data"))
        return pb.ContentPart(audio=pb.Audio(data=data, format=audio.string("format") or ""))
    if kind is None:
        raise of_request(obj.at("type"), "a string")
    return pb.ContentPart(other_json=raw.decode("utf-8", "replace"))


def _image(obj: Obj) -> pb.Image:
    image = pb.Image()
    if (url := obj.string("image_url")) is not None:
        if (match := _DATA_URI.fullmatch(url)) is None:
            image.url = url
        else:
            image.mime_type, image.data = match[1], _bytes(match[2], obj.at("image_url"))
    elif (file_id := obj.string("file_id")) is not None:
        image.file_id = file_id
    else:
        raise of_request(obj.at("image_url"), "a URL, or file_id a file's id")
    if (detail := obj.string("detail")) is not None:
        image.detail = detail
    return image


def _file(obj: Obj) -> pb.File:
    file = pb.File()
    if (data := obj.string("file_data")) is not None:
        match = _DATA_URI.fullmatch(data)
        file.mime_type = match[1] if match else "application/pdf"
        file.data = _bytes(match[2] if match else data, obj.at("file_data"))
    elif (url := obj.string("file_url")) is not None:
        file.url = url
    elif (file_id := obj.string("file_id")) is not None:
        file.file_id = file_id
    else:
        raise of_request(obj.at("file_data"), "a data URI, or file_url a URL, or file_id a file's id")
    if (name := obj.string("filename")) is not None:
        file.filename = name
    return file


def _bytes(text: str, path: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise of_request(path, "base64") from None
