"""The head of a request."""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.upstream.address import Endpoint
from sidecar.upstream.failures import BadRequest

# identity: most answers are forwarded as they are. Providers that compress anyway are supported.
_DEFAULTS = (("accept-encoding", "identity"), ("user-agent", "llm-gateway-sidecar"))
# Headers that frame the message cannot be configured: the config refuses them, and here they are dropped.
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect", "te", "trailer", "upgrade"})


def request_start(method: str, endpoint: Endpoint, headers: Iterable[tuple[str, str]], *, to_proxy: bool) -> bytes:
    """Returns the head up to the length of the body. `to_proxy`: in the form for proxies (RFC 9112 section 3.2.2).
    Raises BadRequest, which does not quote any value."""
    target = f"http://{endpoint.authority}{endpoint.target}" if to_proxy else endpoint.target
    text = f"{method} {target} HTTP/1.1\r\nHost: {endpoint.authority}\r\n"
    names = set()
    lines = 2
    for name, value in headers:
        low = name.lower()
        if low in _OURS:
            continue
        names.add(low)
        text += f"{name}: {value}\r\n"
        lines += 1
    for name, value in _DEFAULTS:
        if name not in names:
            text += f"{name}: {value}\r\n"
            lines += 1
    if text.count("\n") != lines or text.count("\r") != lines or "\0" in text:
        raise BadRequest("A header contains a line break.")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise BadRequest("A header contains something other than text.") from error


def request_head(start: bytes, body_bytes: int) -> bytes:
    """`start` is the result of `request_start`."""
    return b"%bContent-Length: %d\r\n\r\n" % (start, body_bytes)
