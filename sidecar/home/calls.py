"""A form to try a chat route, and code to paste into a program."""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.home.markup import Html, element, joined
from sidecar.home.snippets import DOORS, Door, lines_of
from sidecar.home.tables import section
from sidecar.home.view import HomeView, RouteView

_TASKS = ("chat", "completions", "embeddings")


def try_section(view: HomeView) -> Html | None:
    """None if the caller has no chat route."""
    routes = [route for route in view.routes if route.task == "chat" and not route.wildcard]
    if not routes:
        return None
    form = element(
        "form",
        element("label", "Route", for_="try-route"),
        _select("try-route", routes),
        element("label", "Your message", for_="try-prompt"),
        element("textarea", "Say hello.", id="try-prompt", rows=3, required=True, spellcheck="true"),
        element(
            "div",
            element("button", "Send", type="submit", id="try-send"),
            element("button", "Stop", type="button", id="try-stop", class_="second", disabled=True),
            element("span", "Ctrl+Enter sends.", class_="quiet hint"),
            class_="row",
        ),
        id="try-form",
    )
    answer = [
        element("h3", "Answer", id="try-answer-title"),
        element("div", id="try-answer", role="region", tabindex=0, aria_labelledby="try-answer-title", class_="answer"),
        element("p", "Nothing sent yet.", id="try-status", role="status", class_="quiet"),
        element("noscript", element("p", "This box needs JavaScript; the lines below do not.")),
    ]
    note = "Sends a real call with your own credentials: it counts towards your limits and your spend."
    return section("try", "Try it", element("div", form, element("div", *answer), class_="try"), note=note)


def call_section(view: HomeView) -> Html | None:
    """None if there is nothing to call."""
    routes = [route for route in view.routes if not route.wildcard]
    if not routes:
        return None
    chooser = element(
        "div", element("label", "Route", for_="call-route"), _select("call-route", routes), class_="field"
    )
    tasks = [task for task in _TASKS if any(route.task == task for route in routes)]
    first = routes[0].task
    panels = [
        _panel(task, next(route for route in routes if route.task == task), view, task == first) for task in tasks
    ]
    return section("call", "Call it from your program", _key(view), chooser, *panels)


def _select(key: str, routes: Iterable[RouteView]) -> Html:
    options = [element("option", route.name, value=route.name, data_task=route.task) for route in routes]
    return element("select", *options, id=key, autocomplete="off")


def _key(view: HomeView) -> Html:
    lines = element("code", "export SIDECAR_API_KEY=YOUR-KEY")
    steps = [
        joined(
            "Set your key, which is what ",
            element("code", "sidecar users add"),
            " printed (base64 of ",
            element("code", "user:password"),
            "):",
            element("pre", lines),
        )
    ]
    if view.own_ca:
        link = element("a", "Save ca.pem", href=view.url("home/ca.pem"), download="ca.pem")
        words = (
            ", the certificate authority of this gateway, where you run the lines. A balancer with a certificate of its own "
            "needs none: leave it out there. For Node, set "
        )
        steps.append(joined(link, words, element("code", "NODE_EXTRA_CA_CERTS=ca.pem"), "."))
    return element("ol", *(element("li", step) for step in steps), class_="steps")


def _panel(task: str, route: RouteView, view: HomeView, shown: bool) -> Html:
    doors = [door for door in DOORS if door.task == task]
    choices = [_choice(door, first=index == 0) for index, door in enumerate(doors)]
    lines = [_lines(door, route, view, first=index == 0) for index, door in enumerate(doors)]
    return element(
        "fieldset",
        element("legend", f"Lines for {task}"),
        element("div", *choices, class_="tabs"),
        *lines,
        data_task=task,
        hidden=not shown,
        class_="doors",
    )


def _choice(door: Door, *, first: bool) -> Html:
    key = f"door-{door.task}-{door.key}"
    button = element("input", type="radio", name=f"door-{door.task}", id=key, value=door.key, checked=first)
    return joined(button, element("label", door.title, for_=key))


def _lines(door: Door, route: RouteView, view: HomeView, *, first: bool) -> Html:
    head = element(
        "div",
        element("span", door.calls, class_="quiet"),
        element("button", "Copy", type="button", class_="second copy"),
        class_="row spread",
    )
    code = element("code", lines_of(door, route.name, own_ca=view.own_ca), class_=door.language)
    pre = element("pre", code, tabindex=0, aria_label=f"{door.title}, lines to paste")
    return element("div", head, pre, data_door=door.key, hidden=not first, class_="lines")
