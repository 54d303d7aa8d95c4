"""The configuration as the workers use it: frozen, checked, secrets resolved. `config.load` makes it, the gateway reads it.

Apart from config.py so that a worker does not import YAML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters import Target, Task
from sidecar.secret import Secret


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits of one call, in seconds. Reasons for the defaults in docs/config.md."""

    connect_s: float = 5.0
    first_output_s: float = 120.0  # streams: from the request's last byte to the first semantic output
    idle_s: float = 120.0  # longest silence between two pieces of a stream
    total_s: float = 600.0  # the call's deadline where the caller sets none, and the cap where it does


@dataclass(frozen=True, slots=True)
class Grant:
    """How a token is fetched, where no key stands in the config: a form posted to `url`, or a GET of it where `form` is None
    (managed identity). The answer is OAuth's: access_token and expires_in."""

    url: str
    form: tuple[tuple[str, str], ...] | None = None  # never secret
    headers: tuple[tuple[str, str], ...] = ()  # never secret
    client_id: str = ""
    client_secret: Secret | None = None
    basic: bool = False  # id and secret go into Basic auth rather than into the form


@dataclass(frozen=True, slots=True)
class Upstream:
    """One target of a route: a provider's model with a key."""

    provider: str  # key of adapters.providers.PROVIDERS
    model: str
    base_url: str  # without a trailing slash
    key: Secret | None
    headers: tuple[tuple[str, str], ...] = ()  # from the config, beside the provider's own; never secret
    options: Mapping[str, Any] = field(default_factory=dict)  # Target.options
    auth: str | None = None  # in place of the provider's own scheme
    grant: Grant | None = None  # in place of a key
    ca_file: str | None = None  # PEM bundle to trust instead of the system's
    proxy: str | None = None  # only from the config: environment proxies are ignored


@dataclass(frozen=True, slots=True)
class Route:
    """A public name for an upstream and its settings."""

    name: str
    task: Task
    upstreams: tuple[Upstream, ...]  # never empty
    timeouts: Timeouts = Timeouts()
    response_bytes_max: int = 64 * 1024 * 1024  # what one answer may hold


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole configuration. `routes` keeps the file's order. `hash` is the first 12 hex digits of the SHA-256 of the file."""

    routes: Mapping[str, Route]
    hash: str
    warnings: tuple[str, ...] = ()


def target_of(upstream: Upstream) -> Target:
    """What an adapter may know of an upstream."""
    from adapters.providers import PROVIDERS

    return Target(PROVIDERS[upstream.provider], upstream.model, upstream.base_url, upstream.options)
