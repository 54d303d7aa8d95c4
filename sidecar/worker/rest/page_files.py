"""What the pages that the gateway serves have in common: headers, and where they are as a browser sees it."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from sidecar.transport.caller import Context
from sidecar.worker.rest.reply import Reply

_PREFIX_KEY = "x-forwarded-prefix"
# A path of this host: two slashes at the beginning would be another one.
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]{1,64}){1,16}")


def prefix_of(context: Context) -> str:
    """What a balancer took off the path; the front passes it on of those alone that are trusted."""
    for key, value in context.invocation_metadata() or ():
        if key == _PREFIX_KEY and isinstance(value, str) and _PREFIX.fullmatch(value):
            return value
    return ""


async def send(reply: Reply, content_type: str, body: bytes, policy: str, cache_control: str) -> None:
    """A file under a Content-Security-Policy."""
    headers = [
        ("cache-control", cache_control),
        ("content-security-policy", policy),
        ("referrer-policy", "no-referrer"),
    ]
    await reply.file(content_type, body, headers)


def version_of() -> str:
    """Of the gateway."""
    try:
        return version("llm-gateway-sidecar")
    except PackageNotFoundError:  # a checkout on PYTHONPATH
        return "0"
