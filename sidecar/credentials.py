"""Authorises an outgoing call, in headers only, and keeps what it uses out of everything that is shown."""

from __future__ import annotations

import re

from adapters import Provider
from sidecar.redaction import without_secret
from sidecar.secret import Secret
from sidecar.snapshot import Upstream

_REDACTED = "***"
# Key formats of providers, for text in which a provider quotes a key that is not exactly ours: cut short, masked, another's.
_KEY_FORMATS = re.compile(
    r"\b(?:sk|pk|rk|xai|gsk|hf|dapi|pplx|fw|nvapi|AIza|AKIA)[-_]?[A-Za-z0-9_\-*.]{12,}|\b[Bb]earer\s+[A-Za-z0-9_\-*.=+/]{8,}"
)


def headers_for(upstream: Upstream, provider: Provider) -> tuple[tuple[str, str], ...]:
    """The headers that authorise a call to `upstream`, with the provider's and the route's fixed ones."""
    fixed = (*provider.headers, *upstream.headers)
    if upstream.headers:  # the route's value stands in place of the provider's default of the same name
        own = {name.lower() for name, _ in upstream.headers}
        fixed = (*(pair for pair in provider.headers if pair[0].lower() not in own), *upstream.headers)
    if upstream.key is None or provider.auth == "none":
        return fixed
    return (*fixed, _auth_header(provider.auth, upstream.key))


def _auth_header(scheme: str, key: Secret) -> tuple[str, str]:
    if scheme == "bearer":
        return ("Authorization", f"Bearer {key.reveal()}")
    return (scheme, key.reveal())  # "x-api-key", "api-key": the scheme is the header's name


def redact(text: str, upstream: Upstream | None) -> str:
    """`text` without the upstream's key, pieces of it, its base64, and without anything that looks like a key."""
    if upstream is not None and upstream.key is not None:
        text = without_secret(text, upstream.key)
    return _KEY_FORMATS.sub(_REDACTED, text)
