"""The API version of a route (`anthropic_version`, or a header of the route), and what the newer version no longer
accepts (https://platform.claude.com/docs/en/api/migration-2026-10-21).

    temperature, top_p, top_k              400, also with their default values
    documents in assistant messages        400

A body that passes through carries its caller's version. In a translated request for a route with the newer version,
these are refused by name if they have an effect, since the operator chose the version.
"""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.contract import Target
from adapters.fit import Fit

_HEADER = "anthropic-version"
_STRICTER = "2026-10-21"
# Default values of the API, which have no effect.
_DEFAULTS: dict[str, float] = {"temperature": 1.0, "top_p": 1.0}


def is_stricter(target: Target) -> bool:
    """Versions are dates; the last header with the name is sent."""
    written = [value for name, value in (*target.provider.headers, *target.headers) if name.lower() == _HEADER]
    return bool(written) and written[-1] >= _STRICTER


def fit_sampling(fields: dict[str, Any], extra: dict[str, msgspec.Raw], fit: Fit) -> None:
    """Removes from a request what the route's version does not accept. Raises unsupported_parameter."""
    if not is_stricter(fit.target):
        return
    for name in ("temperature", "top_p", "top_k"):
        found = fields.pop(name) if name in fields else extra.pop(name, None)
        if found is not None and found == _DEFAULTS.get(name):
            fit.leave_out(name)
        elif found is not None:
            fit.refuse(name, why=_why())


def fit_documents(blocks: list[Any], fit: Fit, at: str) -> list[Any]:
    """Checks the documents of an assistant message. Raises unsupported_parameter."""
    if not is_stricter(fit.target) or not any(_is_document(block) for block in blocks):
        return blocks
    fit.refuse(f"{at}.content", "messages[].content[].file", f"{_why()}, in messages of the assistant")
    return [block for block in blocks if not _is_document(block)]


def _why() -> str:
    return f"version {_STRICTER} of the API, which this route asks for, takes none"


def _is_document(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "document"
