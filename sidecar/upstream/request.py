"""The head of a request."""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.upstream.address import Endpoint
from sidecar.upstream.failures import BadRequest

# identity: an answer is mostly passed on as it is; a provider that compresses all the same is understood.
_DEFAULTS = (("accept-encoding", "identity"), ("user-agent", "llm-gateway-sidecar"))
# What frames the message is nobody's to set: the config refuses these, here they would be left out.
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect", "te", "trailer", "upgrade"})


def request_start(method: str, endpoint: Endpoint, headers: Iterable[tuple[str, str]], *, to_proxy: bool) -> bytes:
    """The head as far as the length of the body. `to_proxy`: in the form that a proxy forwards (RFC 9112 section 3.2.2). Raises
    BadRequest, which names no value."""
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
        raise BadRequest("A header holds a line end.")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise BadRequest("A header holds something else than text.") from error


def request_head(start: bytes, body_bytes: int) -> bytes:
    """`start` is of `request_start`."""
    return b"%bContent-Length: %d\r\n\r\n" % (start, body_bytes)
