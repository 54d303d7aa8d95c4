"""The `sidecar` command. Commands import what they need when they run, so that `serve` and `--help` start fast."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sidecar.cli import check, explain, files, inference, processes, routes, usage
from sidecar.supervisor.start.start_error import StartError

app = typer.Typer(
    name="sidecar",
    no_args_is_help=True,
    epilog="Example: sidecar up --config-path config.yaml",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(files.version_text())
        raise typer.Exit


@app.callback(epilog="Example: sidecar up --config-path config.yaml")
def _root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """A self-hosted LLM gateway that runs as a sidecar.

    It keeps provider keys in one place and serves routes over gRPC and REST.
    """


processes.register(app)
check.register(app)
files.register(app)
routes.register(app)
inference.register(app)
explain.register(app)
usage.register(app)


def main() -> None:
    """Returns exit code 0, 1 with one line on standard error, or 2 for wrong usage."""
    try:
        app()
    except StartError as error:
        # An invalid configuration has one line per problem, each with its location.
        print(f"sidecar: {error}", file=sys.stderr)
        sys.exit(1)
