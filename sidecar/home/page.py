"""The document: header, the caller's routes, a form to try one, code to paste, limits, usage; for admins also the
gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sidecar.home.calls import call_section, try_section
from sidecar.home.gateway import gateway_section
from sidecar.home.markup import Html, element, joined, named
from sidecar.home.routes import routes_section
from sidecar.home.usage import limits_section, usage_section
from sidecar.home.view import HomeView

# An empty icon, so that browsers do not request /favicon.ico.
_ICON = "data:,"
_SECTIONS: Mapping[str, Callable[[HomeView], Html | None]] = {
    "routes": routes_section,
    "try": try_section,
    "call": call_section,
    "limits": limits_section,
    "usage": usage_section,
    "gateway": gateway_section,
}
_TITLES = {
    "routes": "Routes",
    "try": "Try it",
    "call": "Call it",
    "limits": "Limits",
    "usage": "Usage",
    "gateway": "Gateway",
}


def page(view: HomeView) -> bytes:
    """The whole HTML document in UTF-8."""
    made = {name: make(view) for name, make in _SECTIONS.items()}
    sections = {name: section for name, section in made.items() if section is not None}
    body = element(
        "body",
        element("a", "Skip to your routes", href="#routes", class_="skip"),
        _header(view, sections),
        element("main", *sections.values(), id="main"),
        element("footer", f"Sidecar {view.version}. Numbers are as of this page's loading; reload it for newer ones."),
        element("script", src=view.url("home/home.js"), defer=True),
    )
    return f"<!doctype html>\n{element('html', _head(view), body, lang='en')}\n".encode()


def _head(view: HomeView) -> Html:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="sidecar-prefix", content=view.prefix),
        element("title", "LLM gateway"),
        element("link", rel="icon", href=_ICON),
        element("link", rel="stylesheet", href=view.url("home/home.css")),
    )


def _header(view: HomeView, sections: Iterable[str]) -> Html:
    links = [element("a", _TITLES[name], href=f"#{name}") for name in sections]
    who = joined("You are ", element("strong", named(view.user or view.consumer)))
    if view.user and view.user != view.consumer:
        who = joined(who, ", consumer ", element("strong", named(view.consumer)))
    if view.admin:
        who = joined(who, " ", element("span", "admin", class_="tag"))
    return element(
        "header",
        element("div", element("h1", "LLM gateway"), element("p", who, class_="who"), class_="title"),
        element("nav", *links, element("a", "API reference", href=view.url("docs")), aria_label="On this page"),
    )
