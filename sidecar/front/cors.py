"""Calls from web pages of other origins (CORS in the Fetch standard): which paths, origins and headers are allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sidecar.openapi.bindings import bindings_of, service

# What pages call. Excludes managing routes and the gateway's own page.
_CALLED_BY_PAGES = ("/v1/", "/openai/", "/gateway/", "/endpoints/")
_SEGMENT = "[^/?]+"
# Methods that a preflight may request; whether the path has that method is looked up.
METHODS = ("GET", "POST", "DELETE")
# How long a browser may cache a preflight; Chrome's maximum.
MAX_AGE_S = 7200
# Calls carry no cookies, so browsers accept the star for all headers of the answer.
EXPOSED = "*"


def called_by_pages() -> Iterator[tuple[str, str]]:
    """Verb and path, with {variables}, of each call that a page may make."""
    for binding in bindings_of(service()):
        if binding.path.startswith(_CALLED_BY_PAGES):
            yield binding.verb.upper(), binding.path


def path_pattern(path: str) -> str:
    """A regular expression for a path as it appears in a request, without the query."""
    return "".join(_SEGMENT if part.startswith("{") else re.escape(part) for part in re.split(r"({\w+})", path))
