"""The URL of a call."""

from __future__ import annotations

from adapters.contract import Target


def url_of(target: Target, path: str) -> str:
    """Some configurations include the version in the base URL, as in MLflow's own; the paths here contain it."""
    base = target.base_url.rstrip("/")
    return base.removesuffix("/v1").removesuffix("/v2") + path
