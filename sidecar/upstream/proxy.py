"""What a proxy wants of us: a user and a password, where its URL has them (RFC 9110 section 11.7.2)."""

from __future__ import annotations

import base64
from functools import lru_cache
from urllib.parse import unquote, urlsplit


@lru_cache(maxsize=256)
def proxy_headers(url: str) -> tuple[tuple[str, str], ...]:
    """`url` as the config has checked it: user and password escaped as in any URL, UTF-8."""
    parts = urlsplit(url)
    if parts.username is None:
        return ()
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return (("Proxy-Authorization", "Basic " + base64.b64encode(pair.encode()).decode()),)
