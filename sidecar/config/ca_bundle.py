"""CA bundles, read and validated together with the config, and kept. Losing or truncating the file later has no
effect."""

from __future__ import annotations

import os.path
import re
import ssl
from functools import lru_cache

from sidecar.config import fields
from sidecar.config.scope import Scope
from sidecar.config.yaml_tree import MappingEntry
from sidecar.domain.snapshot import CaBundle

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_CERTIFICATE = re.compile(f"{_BEGIN}[A-Za-z0-9+/=\\s]*{_END}")


def ca_bundle(entry: MappingEntry, path: str, scope: Scope) -> CaBundle | None:
    """Returns None with a problem reported. What a worker could not use is refused here, with its line."""
    node = entry.value
    written = fields.text(node, path, scope.report)
    if written is None:
        return None
    if scope.sources.read_secret is not None:
        hint = "a route managed through the API cannot name files"
        scope.report.error(node.line, path, "is only allowed in the config file", hint)
        return None
    try:
        content = scope.sources.file(written)
    except OSError as error:
        scope.report.error(node.line, path, f"cannot be read: {error.strerror or type(error).__name__}")
        return None
    if content is None:
        hint = "paths start at the config file's directory"
        scope.report.error(node.line, path, f'file "{written}" does not exist', hint)
        return None
    pem, problem = _certificates(content)
    if problem:
        scope.report.error(node.line, path, f'file "{written}" {problem}')
        return None
    return CaBundle(os.path.join(scope.directory, written), pem)


@lru_cache(maxsize=64)
def _certificates(content: str) -> tuple[str, str]:
    """Returns the certificates without the text between them, and what is wrong, or ""."""
    found = _CERTIFICATE.findall(content)
    pem = "\n".join(found) + "\n"
    if not found and _BEGIN not in content:
        return pem, "contains no PEM certificate"
    if len(found) != content.count(_BEGIN):
        return pem, "is truncated or damaged: a certificate in it has no end"
    try:
        ssl.create_default_context(cadata=pem)
    except (ssl.SSLError, ValueError):
        return pem, "contains an invalid certificate"
    return pem, ""
