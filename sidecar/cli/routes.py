"""`sidecar routes`: lists the routes of a running gateway, makes one, removes one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sidecar.cli.failure import Failure
from sidecar.cli.inference import Target, connected
from sidecar.cli.processes import StateDirOption
from sidecar.supervisor.start.options import STATE_DIR

_LIST_TIMEOUT_S = 10.0
# The server waits 30 s for its supervisor, and says then that nothing was confirmed.
_CHANGE_TIMEOUT_S = 40.0
_FROM_STDIN = "-"
_LITERALS = {"true": True, "false": False}
_Name = Annotated[str, typer.Argument(help="Name of the route.")]
_Provider = Annotated[str, typer.Option("--provider", help="A provider of the providers page, such as openai.")]
_Model = Annotated[str, typer.Option("--model", help="The provider's own name of the model.")]
_Task = Annotated[str, typer.Option("--task", help="chat, completions or embeddings.")]
_Config = Annotated[
    list[str] | None,
    typer.Option(
        "--config",
        help="KEY=VALUE of model.config, once for each. KEY=- reads the value from standard input, a line for each: a key "
        "does not belong on a command line.",
    ),
]
_Settings = Annotated[str, typer.Option("--settings", help="Further keys of a route (timeouts, ...) as a JSON object.")]


def register(app: typer.Typer) -> None:
    routes = typer.Typer(help="List, make and remove routes of the running gateway.", no_args_is_help=False)
    routes.callback(invoke_without_command=True, epilog="Example: sidecar routes")(listing)
    example = "Example: sidecar routes create mine --provider ollama --model llama3.2"
    routes.command(epilog=example)(create)
    routes.command(epilog="Example: sidecar routes delete mine")(delete)
    app.add_typer(routes, name="routes")


def create(
    name: _Name,
    provider: _Provider,
    model: _Model,
    task: _Task = "chat",
    config: _Config = None,
    settings: _Settings = "",
    state_dir: StateDirOption = STATE_DIR,
    target: Target = None,
) -> None:
    """Make a route beside those of the config file. Needs `manage_routes: true` and a consumer `local: true` that is an admin."""
    given = {"provider": provider, "name": model, "config": _config(config or [])}
    more = _object(settings) if settings else None
    with connected(target, state_dir) as client:
        client.create_route(name, task, given, settings=more, timeout_s=_CHANGE_TIMEOUT_S)
    print(f"made {name}")


def delete(name: _Name, state_dir: StateDirOption = STATE_DIR, target: Target = None) -> None:
    """Remove a route that was made by call, with its key; calls under way finish."""
    with connected(target, state_dir) as client:
        client.delete_route(name, timeout_s=_CHANGE_TIMEOUT_S)
    print(f"removed {name}")


def listing(context: typer.Context, state_dir: StateDirOption = STATE_DIR, target: Target = None) -> None:
    """List the routes of the running gateway: name, task, provider, model."""
    if context.invoked_subcommand is None:
        _print_routes(state_dir, target)


def _config(pairs: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise Failure("--config takes KEY=VALUE")  # without what was written: it may be a key
        if value == _FROM_STDIN:
            value = sys.stdin.readline().rstrip("\r\n")
        found[key] = _LITERALS.get(value, value)
    return found


def _object(settings: str) -> dict[str, Any]:
    try:
        found = json.loads(settings)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Failure("--settings takes one JSON object")  # without what was written: it may hold a key
    return found


def _print_routes(state_dir: Path, target: str | None) -> None:
    with connected(target, state_dir) as client:
        routes = client.list_routes(timeout_s=_LIST_TIMEOUT_S)
    rows = [("ROUTE", "TASK", "PROVIDER", "MODEL")]
    rows += [(route.name, route.task, route.model.provider, route.model.name) for route in routes]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
