"""Calls from web pages of other origins (the Fetch standard's CORS protocol): which paths, which origins, which headers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sidecar.openapi.bindings import bindings_of, service

# What pages call. Not what manages routes, and not the gateway's own page.
_CALLED_BY_PAGES = ("/v1/", "/openai/", "/gateway/", "/endpoints/")
_SEGMENT = "[^/?]+"
# What a preflight may ask for; whether the path takes it is looked up.
METHODS = ("GET", "POST", "DELETE")
# How long a browser may remember what it was told before the call; Chrome remembers nothing for longer.
MAX_AGE_S = 7200
# A call has no cookies, so a browser takes the star for every header of the answer.
EXPOSED = "*"


def called_by_pages() -> Iterator[tuple[str, str]]:
    """Verb and path, the path with {variables}, of each call that a page may make."""
    for binding in bindings_of(service()):
        if binding.path.startswith(_CALLED_BY_PAGES):
            yield binding.verb.upper(), binding.path


def path_pattern(path: str) -> str:
    """A regular expression for a path as it stands in a request, without its query."""
    return "".join(_SEGMENT if part.startswith("{") else re.escape(part) for part in re.split(r"({\w+})", path))
