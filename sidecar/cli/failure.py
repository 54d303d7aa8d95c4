"""How a command fails: one line on stderr, exit code 1."""

from __future__ import annotations

from sidecar.supervisor.start.start_error import StartError


class Failure(StartError):
    """The command failed; the message is the line for the operator."""
