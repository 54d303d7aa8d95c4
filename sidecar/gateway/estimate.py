"""Estimates the tokens of a call before it is sent. The estimate only has to be good enough for a reservation,
which is settled with the provider's count.

Prompt: one token per four bytes of the request, which is accurate for English text and too high for JSON. An image
or audio clip counts as 1,000 tokens regardless of its size.

Answer: `max_tokens` (or `max_completion_tokens`) times `n`; 512 if the caller sets no maximum, none for embeddings.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import Any, NamedTuple

from adapters import Task
from sidecar.domain.call import Call

_BYTES_PER_TOKEN = 4
_MEDIA_TOKENS = 1_000
# Half of all chat answers are shorter than 300 tokens, and few answers to calls without a maximum exceed this.
_ANSWER_TOKENS = 512
# More than any model reads or writes; keeps sums finite if a caller sends an absurd max_tokens.
_TOKENS_MAX = 100_000_000
_MEDIA_BYTES_MIN = 4096
_LETTERS = string.ascii_letters.encode() + b"0123456789+/=_-"
_MEDIA = re.compile(rb"[A-Za-z0-9+/=_-]+")
_NUMBER = re.compile(rb"[0-9]{1,9}")


class Estimate(NamedTuple):
    prompt: int
    answer: int

    @property
    def total(self) -> int:
        return self.prompt + self.answer


def estimate_tokens(call: Call) -> Estimate:
    """Estimates a canonical request or an untranslated body. A call that only counts tokens consumes none."""
    return Estimate(0, 0) if call.counts else size_of(call)


def size_of(call: Call) -> Estimate:
    """Estimates what the call's body holds, even if the call only counts tokens."""
    if call.request is not None:
        size, media = _size_of_request(call.request)
        answer_max, choices = _answer_of_request(call.request)
    elif call.envelope is not None:
        size, media = _size_of_members(call.envelope.members)
        answer_max, choices = _answer_of_members(call.envelope.members)
    else:
        return Estimate(0, 0)
    prompt = -(-size // _BYTES_PER_TOKEN) + media * _MEDIA_TOKENS
    answer = 0 if call.task is Task.EMBEDDINGS else (answer_max or _ANSWER_TOKENS) * max(1, choices)
    return Estimate(min(prompt, _TOKENS_MAX), min(answer, _TOKENS_MAX))


def _size_of_members(members: Any) -> tuple[int, int]:
    """Returns the bytes without media, and the number of media. A run of 4,096 base64 letters is taken for media."""
    size = media = 0
    for value in members.values():
        length = len(value)
        if length > _MEDIA_BYTES_MIN and b"base64" in value:
            for found in _media(value):
                length -= found
                media += 1
        size += length
    return size, media


def _media(value: bytes) -> Iterator[int]:
    """Yields the lengths of base64 runs long enough to be media. Such a run covers at least one 4,096th byte, so
    only those positions are examined; a regular expression for 4,096 letters would rescan a word of 4,095
    letters from each of its letters."""
    at = _MEDIA_BYTES_MIN - 1
    while at < len(value):
        if value[at] not in _LETTERS:
            at += _MEDIA_BYTES_MIN
            continue
        before = value[at + 1 - _MEDIA_BYTES_MIN : at]
        start = at - (len(before) - len(before.rstrip(_LETTERS)))
        found = _MEDIA.match(value, at)
        end = at if found is None else found.end()
        if end - start >= _MEDIA_BYTES_MIN:
            yield end - start
        at = (end // _MEDIA_BYTES_MIN + 1) * _MEDIA_BYTES_MIN - 1


def _size_of_request(request: Any) -> tuple[int, int]:
    size = request.ByteSize()
    if size <= _MEDIA_BYTES_MIN or not hasattr(request, "messages"):
        return size, 0
    media = 0
    for message in request.messages:
        for part in message.content:
            kind = part.WhichOneof("part")
            data = getattr(getattr(part, kind), "data", b"") if kind in ("image", "file", "audio") else b""
            if data:
                size -= len(data)
                media += 1
    return size, media


def _answer_of_request(request: Any) -> tuple[int, int]:
    answer_max = max(getattr(request, "max_tokens", 0), getattr(request, "max_completion_tokens", 0))
    return answer_max, getattr(request, "n", 0)


def _answer_of_members(members: Any) -> tuple[int, int]:
    answer_max = max(_number(members.get("max_tokens")), _number(members.get("max_completion_tokens")))
    return answer_max, _number(members.get("n"))


def _number(raw: Any) -> int:
    """Reads an integer from raw JSON. Returns 0 for anything else, which the provider will reject."""
    text = bytes(raw) if raw is not None else b""
    return int(text) if _NUMBER.fullmatch(text) else 0
