"""The configuration as the workers use it: frozen, checked, secrets resolved. `config.load` makes it, the gateway reads it.

Apart from config/ so that a worker does not import YAML.
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


# What a limit or a budget does while the shared store cannot be reached: refuse, hold each gateway to its share, or let
# everything pass. Tokens and money are booked afterwards in any case.
WhenUnavailable = Literal["deny", "local_share", "allow"]


@dataclass(frozen=True, slots=True)
class Limit:
    """So much of something in so long a time, or at once. On a route it holds for all its callers together, on a consumer
    for all its routes together; `each` gives every consumer of the route (every route of the consumer) a bucket of its own."""

    unit: Literal["requests", "tokens", "concurrent"]
    count: int
    per_s: int = 0  # 0 for concurrent
    each: bool = False
    # Where a store is shared: what holds while it cannot be reached.
    when_unavailable: WhenUnavailable = "local_share"
    # "leased": workers hold slices of it, so that a call asks nobody; a little more or less gets through.
    mode: Literal["exact", "leased"] = "exact"


@dataclass(frozen=True, slots=True)
class Budget:
    """Money that may be spent in a calendar day or month (UTC). `each` as in Limit."""

    micro_dollars: int
    per: Literal["day", "month"]
    soft: float = 0.8  # from this share on the answer says so
    each: bool = False
    when_unavailable: WhenUnavailable = "deny"  # as in Limit


@dataclass(frozen=True, slots=True)
class Price:
    """Micro-dollars for a million tokens: 2_500_000 is $2.50 a million. In place of the price table's."""

    input: int
    output: int
    cached_input: int | None = None  # None: as input
    cache_write: int | None = None  # None: as input
    call: int = 0  # micro-dollars for each call, in addition to its tokens
    # (input tokens, the price of a whole call that has more of them), rising. Only the price table has such.
    above: tuple[tuple[int, Price], ...] = ()
    cache_write_1h: int | None = None  # written to be kept for an hour; None: twice the input
    tiers: tuple[tuple[str, Price], ...] = ()  # by the provider's word for its service tier; others are at this price


@dataclass(frozen=True, slots=True)
class Retries:
    """Further attempts of one call, over all its upstreams together, before the first output has reached the caller."""

    budget: int = 1
    backoff_s: float = 0.25  # full jitter: up to this, doubled with each attempt
    backoff_max_s: float = 8.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """When an upstream is ejected."""

    consecutive_failures: int = 5
    error_ratio: float = 0.5
    calls_min: int = 20  # in the window, before the ratio counts
    window_s: float = 30.0
    open_s: float = 10.0  # then one real call probes


@dataclass(frozen=True, slots=True)
class Admission:
    """What may be under way and waiting at once. Over it: overloaded, at once."""

    concurrent_max: int
    queue_max: int = 0
    queue_s: float = 0.1


@dataclass(frozen=True, slots=True)
class Grant:
    """How a token is fetched, where the config has no key: a form posted to `url`, or a GET of it where `form` is None
    (managed identity). The answer is OAuth's: access_token and expires_in."""

    url: str
    form: tuple[tuple[str, str], ...] | None = None  # never secret
    headers: tuple[tuple[str, str], ...] = ()  # never secret
    client_id: str = ""
    client_secret: Secret | None = None
    basic: bool = False  # id and secret go into Basic auth rather than into the form


@dataclass(frozen=True, slots=True)
class CaBundle:
    """CA certificates as they were read; the path is for messages."""

    path: str
    pem: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Upstream:
    """One target of a route: a provider's model with a key."""

    provider: str  # key of adapters.providers.PROVIDERS
    model: str
    base_url: str  # without a trailing slash
    key: Secret | None
    headers: tuple[tuple[str, str], ...] = ()  # from the config, in addition to the provider's own; never secret
    options: Mapping[str, Any] = field(default_factory=dict)  # Target.options
    auth: str | None = None  # in place of the provider's own scheme
    grant: Grant | None = None  # in place of a key
    ca_file: CaBundle | None = None  # to trust instead of the system's
    client_certificate: ClientCertificate | None = None  # to show where the provider asks for one
    proxy: str | None = field(default=None, repr=False)  # URL, with user and password where it wants them
    weight: int = 1  # its share where the route's strategy is "weighted"; 0: only as a fallback
    price: Price | None = None  # in place of the table's
    cost: Literal["tokens", "provider"] | None = (
        None  # "provider": what it says it bills, where it says so; None: tokens
    )
    name: str = ""  # what x-sidecar-upstream says where a route has several; "" means the provider
    # Of a wildcard route, whose model is not known yet: patterns of models' names, and the prices of those.
    price_rules: tuple[tuple[str, Price], ...] = ()
    template: Upstream | None = None  # that of the wildcard route, where this is the one for a name


@dataclass(frozen=True, slots=True)
class Route:
    """A public name for an upstream and its settings. A name that ends in `*` is a wildcard (sidecar/domain/wildcard.py)."""

    name: str
    task: Task
    upstreams: tuple[Upstream, ...]  # never empty
    timeouts: Timeouts = Timeouts()
    response_bytes_max: int = 64 * 1024 * 1024  # what one answer may hold
    # Silence of a REST stream after which a comment says that it lives; 0: none does. Balancers cut at 60 s, some at 30.
    stream_keepalive_s: float = 15.0
    # "ordered": the first that is fit, the others as fallbacks. "weighted", "least_in_flight": the first by chance or by load.
    strategy: Literal["ordered", "weighted", "least_in_flight"] = "ordered"
    retries: Retries = Retries()
    breaker: Breaker = Breaker()
    admission: Admission | None = None  # in each worker
    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()
    mlflow_limit: tuple[int, str, str | None] | None = (
        None  # MLflow's calls, renewal_period, key: its clients read them back
    )
    mlflow_dialect: Literal["a", "b"] = "a"  # of /gateway/{name}/invocations where nothing else decides
    fallback_on: frozenset[Kind] = (
        frozenset()
    )  # refusals of the request after which another upstream is asked all the same
    aliases: tuple[str, ...] = ()  # other names of it; in metrics, limits and lists it has the one


@dataclass(frozen=True, slots=True)
class Consumer:
    """Somebody who calls: users of the front, the local gRPC port and socket, or both. The first that matches a call is its
    consumer."""

    name: str
    users: tuple[str, ...] = ()  # names or globs of the front's users
    local: bool = False  # the local gRPC port and socket
    admin: bool = False
    allow: tuple[str, ...] = ("*",)  # globs of route names
    deny: tuple[str, ...] = ()  # stronger than allow
    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()
    allow_written: bool = field(default=False, compare=False)  # whether the file has `allow`, or it is the default


@dataclass(frozen=True, slots=True)
class Cors:
    """Which web pages may call from a browser: origins as sidecar.domain.origins has them."""

    origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RedisServer:
    """Redis or Valkey. `addresses` are host and port: of the server, of some of a cluster's nodes, or of the sentinels that know
    the master's; or one path of a unix socket with port 0."""

    addresses: tuple[tuple[str, int], ...]
    db: int = 0
    tls: bool = False
    ca: CaBundle | None = None  # to trust instead of the system's
    username: str = ""
    password: Secret | None = None
    cluster: bool = False
    sentinel: str = ""  # the name by which the sentinels know the master


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


@dataclass(frozen=True, slots=True)
class Remembering:
    """What is kept of answers to callers of the Responses API, so that they can go on from them by an id."""

    remember_s: float  # after their last use
    bytes_max: int = 1024**3  # on the disk or in the store, of all consumers
    consumer_bytes_max: int = 128 * 1024**2
    encryption_key: Secret | None = None  # None: a file of the state directory has it; with a store there is one


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole configuration. `routes` keeps the file's order. `hash` is the first 12 hex digits of the SHA-256 of the file."""

    routes: Mapping[str, Route]
    hash: str
    warnings: tuple[str, ...] = ()
    # None: no such section. Every user may call every route then and is a consumer of its own name; nobody is admin.
    consumers: tuple[Consumer, ...] | None = None
    secrets_in_prompts: Literal["refuse", "log", "off"] = "refuse"
    manage_routes: bool = False  # whether admins may make and remove routes by call
    admission: Admission = Admission(1000)  # of one worker, over all its routes
    cors: Cors = Cors()
    store: SharedStore | None = None  # None: this machine counts for itself
    responses: Remembering | None = None  # None: nothing is remembered


def target_of(upstream: Upstream) -> Target:
    """What an adapter may know of an upstream."""
    from adapters.providers import PROVIDERS

    return Target(PROVIDERS[upstream.provider], upstream.model, upstream.base_url, upstream.options, upstream.headers)
