"""The state of a running gateway, as the supervisor knows it: what a worker asks for when somebody wants to see it.

Nothing in it is secret, but only operators may see `OperatorStatus`; the worker that asks says whose status it wants.
"""

from __future__ import annotations

from dataclasses import dataclass, field

USAGE_DAYS = 30


@dataclass(frozen=True, slots=True)
class UpstreamFailure:
    """The newest failed attempt at an upstream. `text` has no key, no prompt and no answer in it."""

    time_s: float  # Unix time
    kind: str  # of adapters.Kind
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
    """Sums of calls. `name` is a day (2026-11-22), a route or a consumer."""

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
    silent_s: float | None = None  # since its last sign of life; None: it gave none yet


@dataclass(frozen=True, slots=True)
class ConfigStatus:
    """The configuration in use, and what is wrong with the one on the disk, if that is another."""

    hash: str
    routes: int
    problems: tuple[str, ...] = ()
    unconfirmed: bool = False  # it waits for `sidecar reload`
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """A certificate of the front. `usable`: whether the files on the disk can be served; the front keeps what it has if not."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    ends_s: float  # Unix time
    usable: bool = True


@dataclass(frozen=True, slots=True)
class OperatorStatus:
    """For admins alone."""

    days: tuple[Spent, ...] = ()  # of all consumers
    consumers: tuple[Spent, ...] = ()
    workers: tuple[WorkerStatus, ...] = ()
    restarts: int = 0
    config: ConfigStatus | None = None
    certificates: tuple[CertificateStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """`days` and `routes` are what one consumer used in the last `USAGE_DAYS` days, today included; days without calls are left
    out. `ca_pem` is what clients must trust, "" where the front has a certificate of another authority."""

    workers: int = 0  # that serve
    upstreams: tuple[UpstreamStatus, ...] = ()
    days: tuple[Spent, ...] = ()
    routes: tuple[Spent, ...] = ()
    today: str = ""
    ca_pem: str = field(default="", repr=False)
    operator: OperatorStatus | None = None
