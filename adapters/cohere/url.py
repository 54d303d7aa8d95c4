"""Where a call goes."""

from __future__ import annotations

from adapters.contract import Target


def url_of(target: Target, path: str) -> str:
    """Some configurations write the base URL with its version, as MLflow's own has it; the paths here say theirs."""
    base = target.base_url.rstrip("/")
    return base.removesuffix("/v1").removesuffix("/v2") + path
