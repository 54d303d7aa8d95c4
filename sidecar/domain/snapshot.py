"""The configuration as the workers use it: frozen, validated, with secrets resolved. `config.load` creates it.

Separate from config/ so that workers do not import YAML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from adapters import Kind, Target, Task
from sidecar.domain.client_certificate import ClientCertificate
from sidecar.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits of one call, in seconds. Reasons for the defaults in docs/reference/config.md."""

    connect_s: float = 5.0
    first_output_s: float = (
        120.0  # from sending to the first semantic output; whole answers: docs/concepts/reliability.md
    )
    idle_s: float = 120.0  # longest silence between two pieces of a stream
    total_s: float = 600.0  # the call's deadline where the caller sets none, and the cap where it does
    write_s: float = 30.0  # how long the core waits for a client to take a piece (gRPC and Envoy; Nginx: send_timeout)


# How a limit or budget decides while the shared store is unavailable: refuse, enforce each gateway's share, or let
# everything pass. Tokens and money are recorded afterwards in any case.
WhenUnavailable = Literal["deny", "local_share", "allow"]


@dataclass(frozen=True, slots=True)
class Limit:
    """An amount per period, or a number of concurrent calls.

    On a route it applies to all its callers together, on a consumer to all its routes together. `each` gives every
    consumer of the route (every route of the consumer) a separate bucket.
    """

    unit: Literal["requests", "tokens", "concurrent"]
    count: int
    per_s: int = 0  # 0 for concurrent calls
    each: bool = False
    # With a shared store: what applies while it is unavailable.
    when_unavailable: WhenUnavailable = "local_share"
    # "leased": workers hold slices of the limit, so that a call needs no round trip; slightly more or less may pass.
    mode: Literal["exact", "leased"] = "exact"


@dataclass(frozen=True, slots=True)
class Budget:
    """Money that may be spent per calendar day or month (UTC). `each` as in Limit."""

    micro_dollars: int
    per: Literal["day", "month"]
    soft: float = 0.8  # from this share on, answers carry a warning
    each: bool = False
    when_unavailable: WhenUnavailable = "deny"  # as in Limit


@dataclass(frozen=True, slots=True)
class Price:
    """Micro-dollars per million tokens: 2_500_000 is $2.50 per million. Overrides the price table."""

    input: int
    output: int
    cached_input: int | None = None  # None: same as input
    cache_write: int | None = None  # None: same as input
    call: int = 0  # micro-dollars per call, in addition to its tokens
    # ascending pairs (input tokens, the price of the whole call above that); only from the price table
    above: tuple[tuple[int, Price], ...] = ()
    cache_write_1h: int | None = None  # write to a cache that is kept for an hour; None: twice the input
    # by the service tier that the provider reports; other tiers have this price
    tiers: tuple[tuple[str, Price], ...] = ()


@dataclass(frozen=True, slots=True)
class Retries:
    """Additional attempts of one call, over all its upstreams together, before any output has reached the caller."""

    budget: int = 1
    backoff_s: float = 0.25  # full jitter: up to this, doubling with each attempt
    backoff_max_s: float = 8.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """When an upstream is ejected."""

    consecutive_failures: int = 5
    error_ratio: float = 0.5
    calls_min: int = 20  # calls in the window before the ratio applies
    window_s: float = 30.0
    open_s: float = 10.0  # then one real call probes


@dataclass(frozen=True, slots=True)
class Admission:
    """How many calls may run and be queued. Beyond that, calls fail at once with overloaded."""

    concurrent_max: int
    queue_max: int = 0
    queue_s: float = 0.1


@dataclass(frozen=True, slots=True)
class Grant:
    """How to fetch a token if the config has no key: a form posted to `url`, or a GET if `form` is None (managed
    identity). The answer is OAuth's: access_token and expires_in."""

    url: str
    form: tuple[tuple[str, str], ...] | None = None  # never secret
    headers: tuple[tuple[str, str], ...] = ()  # never secret
    client_id: str = ""
    client_secret: Secret | None = None
    basic: bool = False  # send id and secret as Basic auth instead of in the form


@dataclass(frozen=True, slots=True)
class CaBundle:
    """CA certificates as they were read; the path is for messages."""

    path: str
    pem: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Upstream:
    """One target of a route: a provider's model, with a key."""

    provider: str  # key of adapters.providers.PROVIDERS
    model: str
    base_url: str  # without a trailing slash
    key: Secret | None
    headers: tuple[tuple[str, str], ...] = ()  # configured ones, in addition to the provider's; never secret
    options: Mapping[str, Any] = field(default_factory=dict)  # Target.options
    auth: str | None = None  # replaces the provider's scheme
    grant: Grant | None = None  # replaces a key
    ca_file: CaBundle | None = None  # trusted instead of the system's
    client_certificate: ClientCertificate | None = None  # presented if the provider asks for one
    proxy: str | None = field(default=None, repr=False)  # URL, with user and password if needed
    weight: int = 1  # share of calls with strategy "weighted"; 0: only as a fallback
    price: Price | None = None  # overrides the price table
    cost: Literal["tokens", "provider"] | None = (
        None  # "provider": use the cost that the provider reports, if any; None: compute it from tokens
    )
    name: str = ""  # value of x-sidecar-upstream if the route has several upstreams; "" means the provider
    # For a wildcard route, whose model is not known in advance: patterns of model names with their prices.
    price_rules: tuple[tuple[str, Price], ...] = ()
    template: Upstream | None = None  # model of the wildcard route from which this upstream was derived


@dataclass(frozen=True, slots=True)
class Route:
    """A public name for one or more upstreams, with settings. A name ending in `*` is a wildcard
    (sidecar/domain/wildcard.py)."""

    name: str
    task: Task
    upstreams: tuple[Upstream, ...]  # never empty
    timeouts: Timeouts = Timeouts()
    response_bytes_max: int = 64 * 1024 * 1024  # maximum size of an answer
    # Silence of a REST stream after which a keepalive comment is sent; 0: never. Load balancers cut after 60 s, some
    # after 30.
    stream_keepalive_s: float = 15.0
    # "ordered": the first healthy one, the others as fallbacks. "weighted", "least_in_flight": the first by weight
    # or load.
    strategy: Literal["ordered", "weighted", "least_in_flight"] = "ordered"
    retries: Retries = Retries()
    breaker: Breaker = Breaker()
    admission: Admission | None = None  # per worker
    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()
    mlflow_limit: tuple[int, str, str | None] | None = (
        None  # MLflow's (calls, renewal_period, key), which its clients read back
    )
    mlflow_dialect: Literal["a", "b"] = "a"  # dialect of /gateway/{name}/invocations if nothing else decides
    fallback_on: frozenset[Kind] = frozenset()  # kinds of refusals after which another upstream is tried anyway
    aliases: tuple[str, ...] = ()  # further names; metrics, limits and lists use `name`
    version: str = ""  # of a route managed through the API (sidecar/domain/version.py); "": it is in the config file


@dataclass(frozen=True, slots=True)
class Consumer:
    """A named caller: users of the front, the local gRPC port and socket, or both. A call belongs to the first
    consumer that matches."""

    name: str
    users: tuple[str, ...] = ()  # names or globs of users of the front
    local: bool = False  # the local gRPC port and socket
    admin: bool = False
    allow: tuple[str, ...] = ("*",)  # globs of route names
    deny: tuple[str, ...] = ()  # overrides allow
    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()
    allow_written: bool = field(default=False, compare=False)  # whether the file sets `allow`


@dataclass(frozen=True, slots=True)
class Cors:
    """Which web pages may call from a browser: origins in the form of sidecar.domain.origins."""

    origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RedisServer:
    """Redis or Valkey. `addresses` are pairs of host and port: the server, some nodes of a cluster, or the
    sentinels that know the master. Alternatively a single pair of a unix socket's path and port 0."""

    addresses: tuple[tuple[str, int], ...]
    db: int = 0
    tls: bool = False
    ca: CaBundle | None = None  # trusted instead of the system's
    username: str = ""
    password: Secret | None = None
    cluster: bool = False
    sentinel: str = ""  # name of the master as the sentinels know it


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """`host` is the folder of a unix socket where it begins with a slash. `rows_kept_s`: how long the row of a call stays after
    its sums have it."""

    host: str
    port: int = 5432
    database: str = ""
    username: str = ""
    password: Secret | None = None
    tls: bool = True
    ca: CaBundle | None = None  # to trust instead of the system's
    rows_kept_s: float = 62 * 86_400


@dataclass(frozen=True, slots=True)
class SharedStore:
    """Where several gateways count together. Those of one `installation` share every limit and every budget. `archive` has what
    all of them spent, besides the copy of each."""

    redis: RedisServer
    timeout_s: float = 0.05
    installation: str = "default"
    archive: PostgresServer | None = None
    encryption_key: Secret | None = None  # of what is managed through the API


@dataclass(frozen=True, slots=True)
class Remembering:
    """Stored answers of the Responses API, which callers can continue by id."""

    remember_s: float  # after their last use
    bytes_max: int = 1024**3  # on the disk or in the store, of all consumers
    consumer_bytes_max: int = 128 * 1024**2
    encryption_key: Secret | None = None  # None: a file of the state directory has it; with a store there is one


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole configuration. `routes` keeps the order of the file. `hash` is the first 12 hex digits of the file's
    SHA-256."""

    routes: Mapping[str, Route]
    hash: str
    warnings: tuple[str, ...] = ()
    # None: no such section. Then any user may call any route, is its own consumer, and nobody is an admin.
    consumers: tuple[Consumer, ...] | None = None
    secrets_in_prompts: Literal["refuse", "log", "off"] = "refuse"
    manage_routes: bool = False  # whether admins may create and delete routes through the API
    admission: Admission = Admission(1000)  # of one worker, over all its routes
    cors: Cors = Cors()
    store: SharedStore | None = None  # None: this machine counts alone
    responses: Remembering | None = None  # None: answers are not stored


def target_of(upstream: Upstream) -> Target:
    """The part of an upstream that adapters may know."""
    from adapters.providers import PROVIDERS

    return Target(PROVIDERS[upstream.provider], upstream.model, upstream.base_url, upstream.options, upstream.headers)
