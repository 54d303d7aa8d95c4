"""Keys that every server of the gateway's own has: how it is verified, and the password for it."""

from __future__ import annotations

from sidecar.config.ca_bundle import ca_bundle
from sidecar.config.kinds import Kind
from sidecar.config.scope import Scope
from sidecar.config.secrets import secret
from sidecar.config.section import Field
from sidecar.config.yaml_tree import MappingEntry
from sidecar.domain.secret import Secret


def _secret(entry: MappingEntry, path: str, scope: Scope) -> Secret | None:
    return secret(entry.value, path, scope.report, scope.sources)


CA = Field(
    "ca",
    Kind({"type": "string"}, "path", ca_bundle),
    "CA certificates to verify the server with.",
    default="the system's",
)
PASSWORD = Field(
    "password",
    Kind({"type": "string"}, "key", _secret),
    "Written like a provider key: `$NAME` or `file:PATH`.",
    default="none",
)
