"""The Lua that Envoy runs, with its words filled in: deploy/envoy/*.lua, but for that of other origins (cors.py)."""

from __future__ import annotations

from sidecar.front.envoy.routes import queries
from sidecar.front.settings import templates
from sidecar.openapi.bindings import service

WAIT_S = 0.2
"""ask.lua looks so often whether a body begins to come."""
_NAMES = ("ask", "head", "late", "request", "status")


def scripts(refused_bytes_max: int) -> dict[str, list[str]]:
    """Name -> lines."""
    words = {
        "@REFUSED_BYTES_MAX@": str(refused_bytes_max),
        "@LATE_WAIT_S@": f"{WAIT_S:g}",
        "@QUERIES@": _queries(),
    }
    return {name: _filled((templates("envoy") / f"{name}.lua").read_text(), words).splitlines() for name in _NAMES}


def _filled(text: str, words: dict[str, str]) -> str:
    for word, meant in words.items():
        text = text.replace(word, meant)
    return text


def _queries() -> str:
    """A Lua list: the pattern of a path without a last slash, and the names of its query parameters."""
    entries = []
    for pattern, names in queries(service()):
        known = ", ".join(f'["{name}"] = true' for name in names)
        entries.append(f'{{"{pattern}", {{{known}}}}}')
    return f"{{{', '.join(entries)}}}"
