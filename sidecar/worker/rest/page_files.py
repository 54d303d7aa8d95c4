"""What the gateway's web pages share: headers, and the path at which a browser sees them."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from sidecar.transport.caller import Context
from sidecar.worker.rest.reply import Reply

_PREFIX_KEY = "x-forwarded-prefix"
# A path on this host: two leading slashes would begin another host's name.
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]{1,64}){1,16}")


def prefix_of(context: Context) -> str:
    """The path prefix that a load balancer removed. The front forwards it only from trusted balancers."""
    for key, value in context.invocation_metadata() or ():
        if key == _PREFIX_KEY and isinstance(value, str) and _PREFIX.fullmatch(value):
            return value
    return ""


async def send(reply: Reply, content_type: str, body: bytes, policy: str, cache_control: str) -> None:
    """Sends a file with a Content-Security-Policy."""
    headers = [
        ("cache-control", cache_control),
        ("content-security-policy", policy),
        ("referrer-policy", "no-referrer"),
    ]
    await reply.file(content_type, body, headers)


def version_of() -> str:
    """The version of the gateway."""
    try:
        return version("llm-gateway-sidecar")
    except PackageNotFoundError:  # not installed, but on PYTHONPATH
        return "0"
