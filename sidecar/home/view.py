"""What the page shows for one caller. The worker fills it in; names in it are unescaped."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.domain.gateway_status import OperatorStatus, Spent, UpstreamFailure


@dataclass(frozen=True, slots=True)
class UpstreamView:
    """One upstream of a route. `ejected_by` counts workers."""

    name: str
    provider: str
    model: str
    ejected_by: int = 0
    failure: UpstreamFailure | None = None


@dataclass(frozen=True, slots=True)
class RouteView:
    """A route that the caller may call. `task` is chat, completions or embeddings."""

    name: str
    task: str
    upstreams: tuple[UpstreamView, ...] = ()
    aliases: tuple[str, ...] = ()
    wildcard: bool = False


@dataclass(frozen=True, slots=True)
class Allowed:
    """A limit or a budget. `used` is a share, 0 to 1 and more, None where it is not known; `left` and `resets` are words."""

    scope: str  # 'consumer "search-team"'
    amount: str  # "600 requests per minute", "$5.00 per day"
    used: float | None = None
    left: str = ""
    resets: str = ""


@dataclass(frozen=True, slots=True)
class HomeView:
    """`prefix` is what a load balancer removed from the path, "" or "/team/llm". `known` is whether the supervisor
    answered: otherwise there is no usage and no state of upstreams."""

    consumer: str
    user: str
    admin: bool
    version: str
    prefix: str = ""
    known: bool = False
    workers: int = 0
    routes: tuple[RouteView, ...] = ()
    routes_more: int = 0  # number of routes that are not in `routes`
    allowed: tuple[Allowed, ...] = ()
    allowed_more: int = 0
    today: str = ""
    now_s: float = 0.0
    days: tuple[Spent, ...] = ()
    by_route: tuple[Spent, ...] = ()
    own_ca: bool = False
    operator: OperatorStatus | None = None
    all_upstreams: tuple[tuple[str, UpstreamView], ...] = ()  # for admins: (route, upstream) of every route

    def url(self, path: str) -> str:
        """A path of the gateway as the page writes it: below the prefix, or relative if none is known."""
        return f"{self.prefix}/{path}" if self.prefix else path
