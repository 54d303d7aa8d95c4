"""The service tier that a provider reports, on which the price depends.

OpenAI, Groq and others have `service_tier` in the answer, Anthropic in its usage. `auto` is a request, not a tier.
"""

from __future__ import annotations

import re

import msgspec

from adapters.json_object import MALFORMED

_NULL = msgspec.Raw(b"null")
# A tier that a config may name. Anything else that a provider reports is not a tier.
TIER = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
AUTO = "auto"


class _Usage(msgspec.Struct):
    service_tier: msgspec.Raw = _NULL


class _Answer(msgspec.Struct):
    service_tier: msgspec.Raw = _NULL
    usage: msgspec.Raw = _NULL


_ANSWERS = msgspec.json.Decoder(_Answer)
_USAGES = msgspec.json.Decoder(_Usage)


def service_tier_in(body: bytes) -> str:
    """The tier of a whole answer in any format; "" if there is none."""
    if b'"service_tier"' not in body:
        return ""
    try:
        answer = _ANSWERS.decode(body)
        return tier_of_json(answer.service_tier) or tier_of_json(_USAGES.decode(answer.usage).service_tier)
    except MALFORMED:
        return ""


def tier_of_json(raw: msgspec.Raw | bytes | None) -> str:
    """The tier in a member's JSON; "" for anything but text."""
    text = b"" if raw is None else bytes(raw)
    return tier_word(text[1:-1].decode("latin-1")) if text[:1] == b'"' else ""


def tier_word(written: str) -> str:
    """The tier as prices name it; "" if there is none."""
    word = written.lower()
    return word if word != AUTO and TIER.fullmatch(word) else ""
