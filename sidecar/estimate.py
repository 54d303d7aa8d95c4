"""How many tokens a call will take, before it is sent: enough to reserve; the provider's count settles it afterwards.

The prompt: a token for each four bytes of the request, which is right for English text and too much for JSON; a picture or a
sound in it counts as 1,000 tokens, not as its letters. The answer: what `max_tokens` (or `max_completion_tokens`) allows, times
`n`; 512 where the caller says nothing, nothing for embeddings.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from adapters import Task
from sidecar.calls import Call

_BYTES_PER_TOKEN = 4
_MEDIA_TOKENS = 1_000
# Half of all chat answers are shorter than 300 tokens, few that have no limit are longer than this.
_ANSWER_TOKENS = 512
# More than any model reads or writes: a caller's absurd max_tokens stays a number to reckon with.
_TOKENS_MAX = 100_000_000
_MEDIA_BYTES_MIN = 4096
_MEDIA = re.compile(rb"[A-Za-z0-9+/=_-]{%d,}" % _MEDIA_BYTES_MIN)
_NUMBER = re.compile(rb"[0-9]{1,9}")


class Estimate(NamedTuple):
    prompt: int
    answer: int

    @property
    def total(self) -> int:
        return self.prompt + self.answer


def estimate_tokens(call: Call) -> Estimate:
    """Of a canonical request or of a body that is not translated."""
    if call.request is not None:
        size, media = _size_of_request(call.request)
        asked, choices = _asked_of_request(call.request)
    elif call.envelope is not None:
        size, media = _size_of_members(call.envelope.members)
        asked, choices = _asked_of_members(call.envelope.members)
    else:
        return Estimate(0, 0)
    prompt = -(-size // _BYTES_PER_TOKEN) + media * _MEDIA_TOKENS
    answer = 0 if call.task is Task.EMBEDDINGS else (asked or _ANSWER_TOKENS) * max(1, choices)
    return Estimate(min(prompt, _TOKENS_MAX), min(answer, _TOKENS_MAX))


def _size_of_members(members: Any) -> tuple[int, int]:
    """Bytes without media, and how many of those there are. Media are what has 4,096 letters of base64 in a row."""
    size = media = 0
    for value in members.values():
        length = len(value)
        if length > _MEDIA_BYTES_MIN and b"base64" in value:
            for found in _MEDIA.finditer(value):
                length -= found.end() - found.start()
                media += 1
        size += length
    return size, media


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


def _asked_of_request(request: Any) -> tuple[int, int]:
    asked = max(getattr(request, "max_tokens", 0), getattr(request, "max_completion_tokens", 0))
    return asked, getattr(request, "n", 0)


def _asked_of_members(members: Any) -> tuple[int, int]:
    asked = max(_number(members.get("max_tokens")), _number(members.get("max_completion_tokens")))
    return asked, _number(members.get("n"))


def _number(raw: Any) -> int:
    """Of raw JSON; 0 for what is no plain number: the provider will refuse it."""
    text = bytes(raw) if raw is not None else b""
    return int(text) if _NUMBER.fullmatch(text) else 0
