"""Script and style of the home page as files, and its Content-Security-Policy."""

from __future__ import annotations

from functools import cache
from importlib import resources

from sidecar.openapi import Asset

# Everything comes from this gateway, nothing is inline: injected names or error texts could not do anything.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
# The files only change with the installed package, but a new release's page must not use the old ones for long.
_CACHED = "private, max-age=300"
_TYPES = {"home.css": "text/css; charset=utf-8", "home.js": "text/javascript; charset=utf-8"}


@cache
def asset(name: str) -> Asset | None:
    """Returns None for a name that is not one of the page's files."""
    content_type = _TYPES.get(name)
    if content_type is None:
        return None
    return Asset(content_type, resources.files("sidecar.home").joinpath("files", name).read_bytes(), _CACHED)
