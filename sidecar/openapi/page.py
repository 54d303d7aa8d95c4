"""The files of the page. Swagger UI itself comes from the package swagger-ui-py, which bundles it for offline use.

The Content-Security-Policy only allows the page to load from and call the gateway: no inline scripts, no other host.
Its addresses are relative to `/docs`, so that it works below any path that a load balancer adds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

# Swagger UI has icons as data: images and inline style attributes. Scripts are only files of ours.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The assets only change with the installed package.
_CACHED = "private, max-age=3600"
_FRESH = "no-store"

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>LLM gateway: API reference</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="stylesheet" href="docs/page.css">
</head>
<body>
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """// The lines for curl work when they are pasted: with the key of a variable, and the gateway's own CA if it has one.
let ownCa = false;
const curlOptions = () => [
  ...(ownCa && location.protocol === "https:" ? ["--cacert ca.pem"] : []),
  '-H "Authorization: Bearer $SIDECAR_API_KEY"',
];
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  displayRequestDuration: true,
  filter: true,
  tryItOutEnabled: true,
  validatorUrl: null,
  requestInterceptor: (request) => {
    if (!request.loadSpec) request.curlOptions = curlOptions();
    return request;
  },
  responseInterceptor: (answer) => {
    if (answer.url.endsWith("/openapi.json")) ownCa = Boolean(JSON.parse(answer.text)["x-own-ca"]);
    return answer;
  },
});
"""
# Swagger UI only has light colours: invert them in dark mode, except what is dark already.
_DARK = """@media (prefers-color-scheme: dark) {
  :root { color-scheme: dark; }
  body { background: #14181f; }
  .swagger-ui { filter: invert(.88) hue-rotate(180deg); }
  .swagger-ui .microlight, .swagger-ui .highlight-code, .swagger-ui .topbar, .swagger-ui img {
    filter: invert(1) hue-rotate(180deg);
  }
}
body { margin: 0; }
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
    if name == "page.css":
        return Asset("text/css; charset=utf-8", _DARK.encode(), _CACHED)
    if name == "swagger-ui-bundle.js":
        return Asset("text/javascript; charset=utf-8", _packaged(name), _CACHED)
    if name == "swagger-ui.css":
        return Asset("text/css; charset=utf-8", _packaged(name), _CACHED)
    return None


def _packaged(name: str) -> bytes:
    """Located without importing the package, whose code is for other servers."""
    spec = find_spec("swagger_ui")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package swagger-ui-py is not installed")
    return (Path(spec.submodule_search_locations[0]) / "static" / name).read_bytes()
