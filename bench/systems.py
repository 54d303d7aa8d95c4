"""The rows of the race, in the order of the table: direct, lower bounds, ours, peers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import peers
from bench.environments import version_of
from bench.floors import plain_envoy, plain_nginx
from bench.stack import gateway
from bench.target import System, Target

ALWAYS = ", one log line per call, metrics"
GOVERNED = ", a consumer, two limits, a budget"


@contextmanager
def direct(folder: Path, base_url: str) -> Iterator[Target]:
    yield Target(base_url)


def ours(front: str, *, governed: bool, by_grpc: bool = False) -> System:
    @contextmanager
    def start(folder: Path, base_url: str) -> Iterator[Target]:
        with gateway(folder, base_url, 1, front=front, governed=governed) as stack:
            yield Target(stack.url, stack.pid, stack.route, stack.api_key, stack.ca_file, grpc=stack.grpc_target)

    entrance = "gRPC without TLS, no key" if by_grpc else "TLS, API key"
    kind = "gRPC" if by_grpc else front.capitalize()
    name = f"Sidecar, {kind}, {'governed' if governed else 'plain'}"
    return System(name, entrance + ALWAYS + (GOVERNED if governed else ""), start, by_grpc)


DIRECT = System("nobody in between", "nothing", direct)
# The system that the others are compared with.
REFERENCE = ours("nginx", governed=False)
SYSTEMS = (
    DIRECT,
    System("Nginx alone", "TLS", plain_nginx),
    System("Envoy alone", "TLS", plain_envoy),
    REFERENCE,
    ours("nginx", governed=True),
    ours("envoy", governed=False),
    ours("envoy", governed=True),
    ours("nginx", governed=False, by_grpc=True),
    ours("nginx", governed=True, by_grpc=True),
    System(f"MLflow gateway {version_of('mlflow')}", "no TLS, no key, no log", peers.mlflow),
    System(f"LiteLLM proxy {version_of('litellm')}", "no TLS, one master key, no log", peers.litellm),
    System(f"ferrogw {version_of('ferrogw')}", "no TLS, one master key, one log line per call, metrics", peers.ferrogw),
    System(f"Portkey gateway {version_of('portkey')}", "no TLS, no key, no log", peers.portkey),
)
