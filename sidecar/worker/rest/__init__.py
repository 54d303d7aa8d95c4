"""RestService: OpenAI's and MLflow's HTTP APIs in HttpBody messages, for the front proxies (DESIGN 6).

Status and headers go ahead as initial metadata, the body follows in pieces of at most 64 KiB, and the RPC ends OK whatever
the HTTP status is: a non-OK RPC means that the core itself failed.
"""

from __future__ import annotations

from sidecar.gateway.gateway import Gateway
from sidecar.worker.rest.docs import DocsPaths
from sidecar.worker.rest.mlflow import MlflowPaths
from sidecar.worker.rest.openai import OpenAiPaths
from sidecar.worker.rest.reply import PIECE_BYTES_MAX
from sidecar.worker.rest.route_calls import Calls
from sidecar.worker.route_changes import RouteChanges

__all__ = ["PIECE_BYTES_MAX", "RestServicer"]


class RestServicer(OpenAiPaths, MlflowPaths, DocsPaths):
    """Every path of rest.proto."""

    def __init__(self, gateway: Gateway, changes: RouteChanges) -> None:
        self._calls = Calls(gateway)
        self._changes = changes
