"""An encryption key of the gateway: random, and too long to be guessed."""

from __future__ import annotations

from sidecar.config.kinds import Kind
from sidecar.config.scope import Scope
from sidecar.config.secrets import secret
from sidecar.config.yaml_tree import MappingEntry
from sidecar.domain.secret import Secret

_CHARS_MIN = 32


def _key(entry: MappingEntry, path: str, scope: Scope) -> Secret | None:
    found = secret(entry.value, path, scope.report, scope.sources)
    if found is not None and len(found.reveal()) < _CHARS_MIN:
        hint = "create one with `openssl rand -hex 32`"
        scope.report.error(entry.line, path, f"has fewer than {_CHARS_MIN} characters", hint)
        return None
    return found


ENCRYPTION_KEY = Kind({"type": "string"}, "key", _key)
