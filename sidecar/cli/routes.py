"""`sidecar routes`: lists the routes of a running gateway, shows, makes, replaces and removes one."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sidecar.cli.failure import Failure
from sidecar.cli.inference import BYTE_ORDER_MARK, KnownStateDir, Target, connected, known_target
from sidecar.cli.terminal import QUIET, console

if TYPE_CHECKING:
    from llm_gateway_client.values import RateLimit
    from rich.text import Text

_LIST_TIMEOUT_S = 10.0
# The server waits 30 s for its supervisor, and then answers that nothing was confirmed.
_CHANGE_TIMEOUT_S = 40.0
_FROM_STDIN = "-"
_LITERALS = {"true": True, "false": False}


class Task(StrEnum):
    """The task of a route."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"


_Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the route.")]
_Provider = Annotated[
    str,
    typer.Option(
        "--provider", metavar="NAME", help="Provider, such as openai: docs/reference/providers.md lists them."
    ),
]
_Model = Annotated[str, typer.Option("--model", metavar="NAME", help="Name of the model at the provider.")]
_Task = Annotated[Task, typer.Option("--task", help="What the route does.")]
_Config = Annotated[
    list[str] | None,
    typer.Option(
        "--config",
        metavar="KEY=VALUE",
        help="Key of model.config; may be repeated. KEY=- reads the value from standard input, one line each, so that no "
        "API key is on the command line. Example: --config base_url=https://llm.example.com/v1 --config api_key=-",
    ),
]
_Etag = Annotated[
    str,
    typer.Option(
        "--etag",
        metavar="VERSION",
        help="Change the route only if this is its version, as `sidecar routes show` prints it.",
    ),
]
_Settings = Annotated[
    str,
    typer.Option(
        "--settings",
        metavar="JSON",
        help="Other keys of the route, as a JSON object. "
        """Example: --settings '{"timeouts": {"total": 60}}'""",
    ),
]


def register(app: typer.Typer) -> None:
    routes = typer.Typer(
        help="Manage routes.\n\nWithout a command, it lists the routes of the running gateway.", no_args_is_help=False
    )
    routes.callback(invoke_without_command=True, epilog="Example: sidecar routes")(listing)
    example = "Example: sidecar routes create mine --provider ollama --model llama3.2"
    routes.command(epilog=example)(create)
    example = "Example: sidecar routes update mine --provider ollama --model llama3.3"
    routes.command(epilog=example)(update)
    routes.command(epilog="Example: sidecar routes show mine")(show)
    routes.command(epilog="Example: sidecar routes delete mine")(delete)
    app.add_typer(routes, name="routes")


def create(
    name: _Name,
    provider: _Provider,
    model: _Model,
    task: _Task = Task.CHAT,
    config: _Config = None,
    settings: _Settings = "",
    state_dir: KnownStateDir = None,
    target: Target = None,
) -> None:
    """Create a route.

    The config file must have `manage_routes: true` and a consumer with `local: true` that is an admin.
    """
    given = {"provider": provider, "name": model, "config": _config(config or [])}
    more = _object(settings) if settings else None
    with connected(target, state_dir) as client:
        client.create_route(name, task, given, settings=more, timeout_s=_CHANGE_TIMEOUT_S)
    print(f"Created route {name}.")


def update(
    name: _Name,
    provider: _Provider,
    model: _Model,
    task: _Task = Task.CHAT,
    config: _Config = None,
    settings: _Settings = "",
    etag: _Etag = "",
    state_dir: KnownStateDir = None,
    target: Target = None,
) -> None:
    """Replace a route that is managed through the API.

    It is replaced whole, with its API key; its limits stay. If somebody else has changed it meanwhile, nothing is
    changed.
    """
    given = {"provider": provider, "name": model, "config": _config(config or [])}
    more = _object(settings) if settings else None
    with connected(target, state_dir) as client:
        route = client.update_route(name, task, given, settings=more, etag=etag, timeout_s=_CHANGE_TIMEOUT_S)
    print(f"Changed route {name}. Its version is {route.etag}.")


def show(name: _Name, state_dir: KnownStateDir = None, target: Target = None) -> None:
    """Print a route, its version for --etag, and its limits.

    A route of the config file has no version: it is changed there.
    """
    with connected(target, state_dir) as client:
        route = client.get_route(name, timeout_s=_LIST_TIMEOUT_S)
        limits = client.get_limits(name, timeout_s=_LIST_TIMEOUT_S)
    rows = [("name", route.name), ("task", route.task), ("provider", route.model.provider), ("model", route.model.name)]
    rows.append(("version", route.etag or "none: it is in the config file"))
    rows += [("limit", _limit_text(limit)) for limit in limits]
    for title, value in rows:
        print(f"{title:<10}{value}")


def delete(name: _Name, etag: _Etag = "", state_dir: KnownStateDir = None, target: Target = None) -> None:
    """Remove a route that is managed through the API.

    Its API key is removed too. Calls in progress may finish.
    """
    with connected(target, state_dir) as client:
        client.delete_route(name, etag=etag, timeout_s=_CHANGE_TIMEOUT_S)
    print(f"Removed route {name}.")


def listing(context: typer.Context, state_dir: KnownStateDir = None, target: Target = None) -> None:
    """List the routes of the running gateway: name, task, provider, model, and the state of each upstream.

    An upstream that keeps failing is ejected for a while: calls go to the route's fallbacks, or fail at once.
    """
    if context.invoked_subcommand is None:
        _print_routes(state_dir, target)


def _limit_text(limit: RateLimit) -> str:
    """Such as "100 requests in 60 s, each consumer"."""
    text = f"{limit.count} {limit.unit}" + (f" in {limit.per_seconds} s" if limit.per_seconds else "")
    return f"{text}, each consumer" if limit.each_consumer else text


def _config(pairs: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise Failure("--config must be KEY=VALUE.")  # never quotes the input, which may be a key
        if value == _FROM_STDIN:
            value = sys.stdin.readline().removeprefix(BYTE_ORDER_MARK).rstrip("\r\n")
        values[key] = _LITERALS.get(value, value)
    return values


def _object(settings: str) -> dict[str, Any]:
    try:
        found = json.loads(settings)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Failure("--settings takes one JSON object.")  # without what was written: it may hold a key
    return found


def _print_routes(state_dir: Path | None, target: str | None) -> None:
    from rich.text import Text

    from sidecar.cli.upstreams import StatesUnknown, by_route, upstream_states, words_of

    with connected(target, state_dir) as client:
        routes = client.list_routes(timeout_s=_LIST_TIMEOUT_S)
    try:
        found = upstream_states(target or known_target(state_dir))
        states, why = by_route(found), ""
    except StatesUnknown as error:
        states, why = {}, str(error)
    rows = [("ROUTE", "TASK", "PROVIDER", "MODEL", Text("STATE"))]
    for route in routes:
        known = states.get(route.name)
        if known is None:
            rows.append((route.name, route.task, route.model.provider, route.model.name, Text(why, QUIET)))
            continue
        for index, each in enumerate(known):  # fallbacks of a route are rows below it
            first = (route.name, route.task) if index == 0 else ("", "")
            rows.append((*first, each.model.provider, each.model.name, Text(*words_of(each, found.workers))))
    _print_rows(rows)


def _print_rows(rows: Sequence[tuple[str, str, str, str, Text]]) -> None:
    out = console()
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for *cells, state in rows:
        plain = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        out.print(plain, state, sep="  ")
