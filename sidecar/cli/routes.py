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
    from sidecar.v1 import routes_pb2 as pb
    from sidecar.v1 import routes_pb2_grpc

    tasks = {"chat": pb.TASK_CHAT, "completions": pb.TASK_COMPLETIONS, "embeddings": pb.TASK_EMBEDDINGS}
    if task not in tasks:
        raise Failure(f"unknown task {task!r}: {', '.join(tasks)}")
    said = json.dumps(_config(config or [])) if config else ""
    made = pb.ModelSpec(provider=provider, name=model, config_json=said)
    spec = pb.RouteSpec(name=name, task=tasks[task], model=made, settings_json=settings)
    with connected(target, state_dir) as channel:
        stub = routes_pb2_grpc.RouteServiceStub(channel)
        stub.CreateRoute(pb.CreateRouteRequest(route=spec), timeout=_CHANGE_TIMEOUT_S)
    print(f"made {name}")


def delete(name: _Name, state_dir: StateDirOption = STATE_DIR, target: Target = None) -> None:
    """Remove a route that was made by call, with its key; calls under way finish."""
    from sidecar.v1 import routes_pb2, routes_pb2_grpc

    with connected(target, state_dir) as channel:
        stub = routes_pb2_grpc.RouteServiceStub(channel)
        stub.DeleteRoute(routes_pb2.DeleteRouteRequest(name=name), timeout=_CHANGE_TIMEOUT_S)
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


def _print_routes(state_dir: Path, target: str | None) -> None:
    from sidecar.v1 import routes_pb2, routes_pb2_grpc

    rows = [("ROUTE", "TASK", "PROVIDER", "MODEL")]
    with connected(target, state_dir) as channel:
        stub = routes_pb2_grpc.RouteServiceStub(channel)
        page = routes_pb2.ListRoutesRequest(page_size=1000)
        while True:
            answer = stub.ListRoutes(page, timeout=_LIST_TIMEOUT_S)
            for route in answer.routes:
                task = routes_pb2.Task.Name(route.task).removeprefix("TASK_").lower()
                rows.append((route.name, task, route.model.provider, route.model.name))
            if not answer.next_page_token:
                break
            page.page_token = answer.next_page_token
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
