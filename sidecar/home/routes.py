"""The routes that the caller may call, their models, and whether they are available."""

from __future__ import annotations

from sidecar.home.markup import Content, Html, element, joined, named
from sidecar.home.snippets import DOOR_WORDS
from sidecar.home.tables import section, state, table
from sidecar.home.view import HomeView, RouteView, UpstreamView
from sidecar.home.words import duration, many

_TITLES = ("Route", "Task", "Call it by", "Answered by", "State")
# Models shown per route; the rest is a number.
_UPSTREAMS_SHOWN = 4


def routes_section(view: HomeView) -> Html:
    if not view.routes:
        return section(
            "routes", "Your routes", note="There is no route that you may call. Ask whoever runs this gateway."
        )
    note = None
    if view.routes_more:
        note = joined(
            f"The first {len(view.routes)} of your routes; {view.routes_more:,} more are in ", _models(view), "."
        )
    rows = [_row(route, view) for route in view.routes]
    return section("routes", "Your routes", table("Routes that you may call", _TITLES, rows), note=note, wide=True)


def _models(view: HomeView) -> Html:
    return element("a", element("code", "GET /v1/models"), href=view.url("v1/models"))


def _row(route: RouteView, view: HomeView) -> list[Content]:
    name: Content = element("code", named(route.name))
    if route.wildcard:
        name = joined(name, element("small", "any name that begins like this"))
    elif route.aliases:
        name = joined(name, element("small", "also: ", ", ".join(route.aliases)))
    return [name, route.task, DOOR_WORDS[route.task], _answered_by(route), route_state(route.upstreams, view)]


def _answered_by(route: RouteView) -> Html:
    shown = [
        element("li", named(each.model), element("small", named(each.provider)))
        for each in route.upstreams[:_UPSTREAMS_SHOWN]
    ]
    more = len(route.upstreams) - len(shown)
    return element("ul", *shown, element("li", f"and {more} more") if more else None, class_="plain")


def route_state(upstreams: tuple[UpstreamView, ...], view: HomeView) -> Html:
    """The state of a route: whether all, some or none of its upstreams accept calls."""
    if not view.known:
        return state("not known", "warn")
    ejected = [each for each in upstreams if each.ejected_by]
    if not ejected:
        return state("available", "good")
    if len(ejected) < len(upstreams):
        return state(joined("fallback: ", named(ejected[0].name), " is ejected"), "warn")
    return state("ejected", "bad")


def upstream_state(upstream: UpstreamView, view: HomeView) -> Html:
    """The state of one upstream, for admins."""
    if not upstream.ejected_by:
        return state("available", "good")
    by_all = upstream.ejected_by >= view.workers
    return state(f"ejected by {upstream.ejected_by} of {many(view.workers, 'worker')}", "bad" if by_all else "warn")


def last_failure(upstream: UpstreamView, view: HomeView) -> Content:
    """When and how it last failed; empty if it has not."""
    failure = upstream.failure
    if failure is None:
        return element("span", "none", class_="quiet")
    ago = f"{duration(view.now_s - failure.time_s)} ago"
    words = element("small", named(failure.text)) if failure.text else None
    return joined(element("code", failure.kind), " ", ago, words)
