"""Removes a secret from text that will be shown: in full, in parts, and in base64."""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache

from sidecar.domain.secret import Secret

_REDACTED = "***"
# Providers quote keys truncated or encoded. For a secret of 16 characters or more, any 8 consecutive ones count as
# the secret: fewer reveal nothing, and would redact ordinary words.
_PIECE = 8
_LONG = 2 * _PIECE
# More secrets than a config has in use; preparing one takes 0.2 ms.
_PIECES_KEPT = 256


def without_secret(text: str, secret: Secret) -> str:
    """Replaces the secret, parts of it and its base64 by "***"."""
    if not secret.reveal():
        return text
    return _without(text.replace(secret.reveal(), _REDACTED), _pieces(secret))


@lru_cache(maxsize=_PIECES_KEPT)
def _pieces(secret: Secret) -> frozenset[str]:
    value = secret.reveal()
    if len(value) < _LONG:
        return frozenset()
    encoded = [_base64(value.encode(), offset) for offset in range(3)]
    url_safe = [form.translate(str.maketrans("+/", "-_")) for form in encoded]
    forms = (value, *encoded, *url_safe)
    return frozenset(form[at : at + _PIECE] for form in forms for at in range(len(form) - _PIECE + 1))


def _base64(data: bytes, offset: int) -> str:
    """The base64 characters that depend on `data` alone, if it begins `offset` bytes (0 to 2) into a group of
    three."""
    first, end = -(-8 * offset // 6), 8 * (offset + len(data)) // 6
    return b64encode(bytes(offset) + data).decode()[first:end]


def _without(text: str, pieces: frozenset[str]) -> str:
    shown: list[str] = []
    kept_from = 0  # everything before this is in `shown` or redacted
    for at in range(len(text) - _PIECE + 1 if pieces else 0):
        if text[at : at + _PIECE] in pieces:
            if at > kept_from or not shown:
                shown += [text[kept_from:at], _REDACTED]
            kept_from = at + _PIECE
    return "".join([*shown, text[kept_from:]])
