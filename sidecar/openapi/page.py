"""The files of the page. Swagger UI itself comes from the package swagger-ui-py, which carries it for use offline.

The page works under a Content-Security-Policy that lets it load and call nothing but the gateway: no inline script, no
other host. Its addresses are relative to `/docs`, so that it works below whatever path a balancer puts before that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

# Swagger UI's icons are data: images, and its style attributes are inline ones. Scripts are files of ours alone.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The assets change with the installed package only.
_CACHED = "private, max-age=3600"
_FRESH = "no-store"

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>LLM gateway</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  displayRequestDuration: true,
  filter: true,
  tryItOutEnabled: true,
  validatorUrl: null
});
"""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served."""

    content_type: str
    body: bytes
    cache_control: str


@cache
def asset(name: str) -> Asset | None:
    """ "" is the page itself. None for a name that is not one of the page's files."""
    if name == "":
        return Asset("text/html; charset=utf-8", _PAGE.encode(), _FRESH)
    if name == "start.js":
        return Asset("text/javascript; charset=utf-8", _START.encode(), _CACHED)
    if name == "swagger-ui-bundle.js":
        return Asset("text/javascript; charset=utf-8", _packaged(name), _CACHED)
    if name == "swagger-ui.css":
        return Asset("text/css; charset=utf-8", _packaged(name), _CACHED)
    return None


def _packaged(name: str) -> bytes:
    """Found without importing the package: its code is for other servers."""
    spec = find_spec("swagger_ui")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package swagger-ui-py is not installed")
    return (Path(spec.submodule_search_locations[0]) / "static" / name).read_bytes()
