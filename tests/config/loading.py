"""Loads a config from text, with secret files in a dict instead of on a disk."""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.config import ConfigErrors, load
from sidecar.domain.snapshot import Snapshot

ENV = {"OPENAI_API_KEY": "sk-env", "EMPTY": ""}


def loaded(text: str, files: Mapping[str, str] | None = None, local: str | None = None, **env: str) -> Snapshot:
    return load(text, {**ENV, **env}, read_file=(files or {}).get, local_base_url=local)


def problems(text: str, files: Mapping[str, str] | None = None, **env: str) -> list[str]:
    """What is wrong with it, as printed; fails the test where nothing is."""
    try:
        loaded(text, files, **env)
    except ConfigErrors as errors:
        return str(errors).split("\n")
    raise AssertionError("the config was accepted")


def route(extra: str = "", model: str = "", config: str = "openai_api_key: $OPENAI_API_KEY", **values: str) -> str:
    """A file of one route; `extra` is YAML at the route's level, `model` replaces all below `model:`."""
    provider, name = values.get("provider", "openai"), values.get("name", "gpt-4o-mini")
    model = model or f"{{provider: {provider}, name: {name}, config: {{{config}}}}}"
    lines = ["routes:", "  - name: chat", f"    route_type: {values.get('type', 'llm/v1/chat')}", f"    model: {model}"]
    return "\n".join([*lines, *(f"    {line}" for line in extra.split("\n") if line)]) + "\n"
