"""The `sidecar` command. Each command imports what it needs when it runs, so that `serve` and `--help` start fast."""

from __future__ import annotations

import sys

import typer

from sidecar.cli import files, processes, routes, usage
from sidecar.cli import inference as calls
from sidecar.supervisor.start.start_error import StartError

app = typer.Typer(
    name="sidecar",
    help="A self-hosted LLM gateway that runs as a sidecar: provider keys in one place, routes by gRPC and REST.",
    no_args_is_help=True,
    epilog="Example: sidecar up --config-path config.yaml",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
processes.register(app)
files.register(app)
routes.register(app)
calls.register(app)
usage.register(app)


def main() -> None:
    """Exit code 0, 1 with one line on stderr, or 2 for wrong usage."""
    try:
        app()
    except StartError as error:
        # A broken configuration has a line for each problem, and each names its place.
        print(f"sidecar: {error}", file=sys.stderr)
        sys.exit(1)
