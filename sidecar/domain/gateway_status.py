"""The state of a running gateway, as the supervisor knows it. Workers request it for the home page and the CLI.

None of it is secret, but only operators may see `OperatorStatus`; the requesting worker says for whom it asks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

USAGE_DAYS = 30


@dataclass(frozen=True, slots=True)
class UpstreamFailure:
    """The newest failed attempt at an upstream. `text` contains no key, prompt or answer."""

    time_s: float  # Unix time
    kind: str  # value of adapters.Kind
    text: str


@dataclass(frozen=True, slots=True)
class UpstreamStatus:
    """An upstream that is ejected or has failed. `ejected_by` counts workers."""

    route: str
    upstream: str
    ejected_by: int = 0
    failure: UpstreamFailure | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """Totals of calls. `name` is a day (2026-11-22), a route or a consumer."""

    name: str
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    micro_dollars: int = 0


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker process."""

    position: int
    pid: int
    started_s: float  # Unix time
    state: str  # serving, starting, draining, hangs
    silent_s: float | None = None  # since its last heartbeat; None before the first one


@dataclass(frozen=True, slots=True)
class ConfigStatus:
    """The configuration in use, and the problems of a newer one on disk."""

    hash: str
    routes: int
    problems: tuple[str, ...] = ()
    unconfirmed: bool = False  # waits for `sidecar reload`
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """A certificate of the front. `usable`: whether the files on disk can be served; otherwise the front keeps the
    old ones."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    ends_s: float  # Unix time
    usable: bool = True


@dataclass(frozen=True, slots=True)
class OperatorStatus:
    """The part of the status that is for admins only."""

    days: tuple[Spent, ...] = ()  # of all consumers
    consumers: tuple[Spent, ...] = ()
    workers: tuple[WorkerStatus, ...] = ()
    restarts: int = 0
    config: ConfigStatus | None = None
    certificates: tuple[CertificateStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """`days` and `routes` are the usage of one consumer in the last `USAGE_DAYS` days, including today and without
    empty days. `ca_pem` is the CA that clients have to trust; "" if the front's certificate has another issuer."""

    workers: int = 0  # serving workers
    upstreams: tuple[UpstreamStatus, ...] = ()
    days: tuple[Spent, ...] = ()
    routes: tuple[Spent, ...] = ()
    today: str = ""
    ca_pem: str = field(default="", repr=False)
    operator: OperatorStatus | None = None
