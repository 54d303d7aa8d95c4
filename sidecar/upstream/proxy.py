"""Authenticates to a proxy with the user and password of its URL (RFC 9110 section 11.7.2)."""

from __future__ import annotations

import base64
from functools import lru_cache
from urllib.parse import unquote, urlsplit


@lru_cache(maxsize=256)
def proxy_headers(url: str) -> tuple[tuple[str, str], ...]:
    """`url` was checked by the config: user and password are percent-encoded UTF-8."""
    parts = urlsplit(url)
    if parts.username is None:
        return ()
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return (("Proxy-Authorization", "Basic " + base64.b64encode(pair.encode()).decode()),)
