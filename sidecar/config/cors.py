"""`cors:` -> the web pages that may call from a browser."""

from __future__ import annotations

from sidecar.config import fields
from sidecar.config.kinds import Kind
from sidecar.config.scope import Scope
from sidecar.config.section import Field, Section
from sidecar.config.yaml_tree import MappingEntry
from sidecar.domain.origins import ANY, Origin
from sidecar.domain.snapshot import Cors

# A front tests the patterns one after the other.
_ORIGINS_MAX = 100


def _origins(entry: MappingEntry, path: str, scope: Scope) -> tuple[str, ...] | None:
    written = fields.texts(entry.value, path, scope.report)
    if written is None:
        return None
    if len(written) > _ORIGINS_MAX:
        scope.report.error(entry.line, path, f"more than {_ORIGINS_MAX} origins", "https://*.example.com is one")
        return None
    found: dict[str, None] = {}
    for index, text in enumerate(written):
        origin = text.lower()
        if origin != ANY and Origin.parsed(origin) is None:
            line = entry.value.items[index].line
            scope.report.error(line, f"{path}[{index}]", "is not the origin of a web page", _hint(origin))
        found[origin] = None
    if ANY in found and len(found) > 1:
        scope.report.error(entry.line, path, '"*" allows every origin', "remove the others, or the star")
    return tuple(found)


def _hint(origin: str) -> str:
    if origin == "null":
        return "every page of a file or a sandbox is null, so it cannot be told from others"
    without_path = "/".join(origin.split("/")[:3])
    if Origin.parsed(without_path) is not None:
        return "an origin has no path and no trailing slash"
    if Origin.parsed(f"https://{origin}") is not None:
        return "write the scheme too, such as https://app.example.com"
    return 'such as https://app.example.com, https://*.example.com or "http://localhost:*"'


CORS = Section(
    "cors",
    Cors,
    (
        Field(
            "origins",
            Kind(
                {"type": "array", "items": {"type": "string"}, "maxItems": _ORIGINS_MAX},
                "list",
                _origins,
                text=lambda items: "",
            ),
            "Origins of the web pages that may call: `https://app.example.com`, `https://*.example.com` for all "
            "subdomains, `http://localhost:*` for any port, or `*` for every page.",
            default="[]",
        ),
    ),
    "Which web pages of other origins may call the gateway from a browser.",
)
