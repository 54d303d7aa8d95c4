"""RestService: the HTTP APIs of OpenAI, Anthropic and MLflow as HttpBody messages, for the front proxies.

Status and headers are sent as initial metadata, followed by the body in pieces of at most 64 KiB. The RPC ends OK
whatever the HTTP status is: a non-OK RPC means that the core itself failed.
"""

from __future__ import annotations

from sidecar.conversations import Memory
from sidecar.gateway.gateway import Gateway
from sidecar.transport.health import HealthServicer
from sidecar.v1 import rest_pb2, rest_pb2_grpc
from sidecar.worker.rest.anthropic import AnthropicPaths
from sidecar.worker.rest.azure import AzurePaths
from sidecar.worker.rest.docs import DocsPaths
from sidecar.worker.rest.home import HomePaths
from sidecar.worker.rest.mlflow import MlflowPaths
from sidecar.worker.rest.openai import OpenAiPaths
from sidecar.worker.rest.remembering import RememberedResponses
from sidecar.worker.rest.reply import PIECE_BYTES_MAX
from sidecar.worker.rest.responses import ResponsesPaths
from sidecar.worker.rest.route_calls import RouteCalls
from sidecar.worker.route_changes import RouteChanges

__all__ = ["PIECE_BYTES_MAX", "RestServicer"]


class RestServicer(rest_pb2_grpc.RestServiceServicer):
    """All paths of rest.proto, each served by one of these groups."""

    def __init__(self, gateway: Gateway, changes: RouteChanges, health: HealthServicer, memory: Memory) -> None:
        calls = RouteCalls(gateway)
        groups = (
            OpenAiPaths(calls, health),
            AzurePaths(calls),
            AnthropicPaths(calls),
            ResponsesPaths(calls, RememberedResponses(memory)),
            MlflowPaths(calls, changes),
            DocsPaths(calls, changes),
            HomePaths(gateway, changes),
        )
        for method in rest_pb2.DESCRIPTOR.services_by_name["RestService"].methods:
            (serve,) = (getattr(group, method.name) for group in groups if hasattr(group, method.name))
            setattr(self, method.name, serve)
