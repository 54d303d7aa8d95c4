"""Checks whole answers that pass through: validates the bytes and reads the usage, without translating."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.json_object import MALFORMED, of_answer
from adapters.openai.failure import in_band, no_answer
from adapters.openai.finish_and_usage import usage_of
from adapters.openai.plain_usage import plain_usage
from adapters.vectors import check_count
from sidecar.v1 import inference_pb2 as pb

_NULL = msgspec.Raw(b"null")


class _Choice(msgspec.Struct):
    error: msgspec.Raw = _NULL  # OpenRouter: a choice that broke off, in a 200


class _Choices(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL


class _Vectors(msgspec.Struct):
    data: list[msgspec.Raw] | None = None
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL


_CHOICES = msgspec.json.Decoder(_Choices)
_VECTORS = msgspec.json.Decoder(_Vectors)


def _decoded(decoder: msgspec.json.Decoder[_Choices] | msgspec.json.Decoder[_Vectors], body: bytes) -> Any:
    try:
        if not body.isascii():
            body.decode()
        return decoder.decode(body)
    except MALFORMED:
        raise of_answer("the body", "one JSON object of its format") from None


def check_choices(body: bytes) -> pb.Usage | None:
    """Checks an answer of chat or completions. Raises upstream_protocol, or the provider's error in a 200."""
    whole = _decoded(_CHOICES, body)
    _refuse_error(whole.error, body)
    if whole.choices is None:
        raise no_answer(body, "choices")
    for choice in whole.choices:
        _refuse_error(choice.error)
    return plain_usage(whole.usage) or usage_of(bytes(whole.usage))


def check_vectors(body: bytes, inputs: int | None = None) -> pb.Usage | None:
    """Checks an answer of embeddings. Raises what check_choices raises, and upstream_protocol unless there are
    `inputs` vectors."""
    whole = _decoded(_VECTORS, body)
    _refuse_error(whole.error, body)
    if whole.data is None:
        raise no_answer(body, "data")
    if inputs is not None:
        check_count(len(whole.data), inputs)
    return usage_of(bytes(whole.usage), vectors=True)


def _refuse_error(raw: msgspec.Raw, whole: bytes | None = None) -> None:
    text = bytes(raw)
    if text != b"null":
        raise in_band(text, whole)
