"""How many tokens a call will take, before it is sent: enough to reserve; the provider's count settles it afterwards.

The prompt: a token for each four bytes of the request, which is right for English text and too much for JSON; a picture or a
sound in it counts as 1,000 tokens, not as its letters. The answer: what `max_tokens` (or `max_completion_tokens`) allows, times
`n`; 512 where the caller sets none, nothing for embeddings.
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
# Half of all chat answers are shorter than 300 tokens, few that have no limit are longer than this.
_ANSWER_TOKENS = 512
# More than any model reads or writes: a caller's absurd max_tokens stays a number to reckon with.
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
    """Of a canonical request or of a body that is not translated. A call that only counts takes none."""
    return Estimate(0, 0) if call.counts else size_of(call)


def size_of(call: Call) -> Estimate:
    """The same for what the call holds, whatever it asks."""
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
    """Bytes without media, and how many of those there are. Media are what has 4,096 letters of base64 in a row."""
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
    """The lengths of what is long enough to be media. One of those lies across every 4,096th byte, so only these
    are looked at: an expression for 4,096 letters would read a word of 4,095 from each of its letters."""
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
    """Of raw JSON; 0 for what is no plain number: the provider will refuse it."""
    text = bytes(raw) if raw is not None else b""
    return int(text) if _NUMBER.fullmatch(text) else 0
