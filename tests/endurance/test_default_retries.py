"""Clients with the retries they come with, at a provider that always fails: one call of a user is three of the provider at most.

The rest of this table is beside what it belongs to: OpenAI's Python SDK in tests/stack/test_amplification.py, its Node SDK in
tests/stack/test_node.py, gRPC's own retry policy over local gRPC in tests/worker/test_grpc_clients.py.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import openai
import pytest

from adapters import GatewayError, Kind
from sidecar.domain.snapshot import Retries
from sidecar.v1 import inference_pb2_grpc
from tests.gateway.in_process import Core, to
from tests.gateway.in_process import openai as openai_upstream
from tests.mlflow.environments import environment
from tests.processes import REPOSITORY
from tests.provider import Call, End, Provider, Reply, default_reply, error_reply
from tests.scale import SCALE
from tests.stack.load import chat_request
from tests.stack.stack import FRONT, Stack, route
from tests.stack.test_openai_sdk import HELLO
from tests.worker.test_grpc_clients import POLICY

# An environment may have to be built.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PROVIDER_CALLS_MAX = 3
RUN_S = 600
CLIENT = REPOSITORY / "tests" / "mlflow" / "clients" / "failing.py"
_QUOTA = "insufficient_quota"
FAILURES: dict[str, Callable[[Call], Reply]] = {
    **{f"status-{status}": lambda call, s=status: error_reply(call, s, "always") for status in (401, 404, 408, 429, 500, 503)},  # type: ignore[misc]
    "overloaded": lambda call: error_reply(call, 529, "always"),
    "soon": lambda call: error_reply(call, 429, "always", headers=(("retry-after", "1"),)),
    "later": lambda call: error_reply(call, 429, "always", headers=(("retry-after", "3600"),)),
    "quota": lambda call: error_reply(call, 429, "always", _QUOTA),
    "reset": lambda call: Reply(head=False, end=End.RST),
    "nonsense": lambda call: Reply(parts=(b"nonsense",)),
    "half": lambda call: Reply(parts=(b'{"id": "1",', b"2"), end=End.CUT),
}  # fmt: skip


@pytest.fixture(scope="module")
def failing() -> Iterator[Provider]:
    with Provider(script=lambda call: FAILURES[call.json["model"]](call)) as running:
        yield running


@pytest.fixture(scope="module", params=["nginx", "envoy"])
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, failing: Provider
) -> Iterator[Stack]:
    """A route for each failure, named like it."""
    routes = "".join(route(name, "chat", failing, model=name) for name in FAILURES)
    with Stack(tmp_path_factory.mktemp("failing"), f"routes:\n{routes}", front=request.param, workers=1) as running:
        yield running


def _counted_calls(failing: Provider) -> Counter[str]:
    """Calls at the provider since the last time, by failure."""
    counted = Counter(call.json["model"] for call in failing.calls)
    failing.calls.clear()
    return counted


def _judge(counted: Counter[str], names: Collection[str] = FAILURES) -> None:
    assert counted.keys() == set(names)
    assert {name: count for name, count in counted.items() if count > PROVIDER_CALLS_MAX} == {}


# What the two fronts do with the gateway's answer is shown by OpenAI's SDK; here in CI each release comes by one.
RELEASES = [("nginx", "2.8.1", "gateway"), ("envoy", "3.17.2", "deployments")]
if SCALE >= 1:
    RELEASES += [("envoy", "2.8.1", "gateway"), ("nginx", "3.17.2", "deployments"), ("nginx", "2.22.0", "deployments")]


@pytest.mark.parametrize(("stack", "release", "entrance"), RELEASES, indirect=["stack"])
def test_mlflows_clients(stack: Stack, failing: Provider, release: str, entrance: str) -> None:
    _counted_calls(failing)
    found = environment(f"client-{release}")
    login = {"MLFLOW_TRACKING_USERNAME": stack.user, "MLFLOW_TRACKING_PASSWORD": stack.password}
    done = subprocess.run(
        [found.python, str(CLIENT), stack.url, entrance, *FAILURES],
        env=found.env(REQUESTS_CA_BUNDLE=str(stack.ca), **login),
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ended: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    counted = _counted_calls(failing)
    for name, end in ended.items():
        print(f"{release} {name:10} {counted[name]} provider calls in {end['seconds']:.1f} s: {end['text'][:70]!r}")
    assert all(end["type"] for end in ended.values())
    _judge(counted)


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_openais_python_sdk(stack: Stack, failing: Provider, stream: bool) -> None:
    _counted_calls(failing)
    http = openai.DefaultAsyncHttpxClient(verify=stack.trust(), trust_env=False)
    async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key=stack.api_key, http_client=http) as client:

        async def fails(name: str) -> None:
            with pytest.raises(openai.APIStatusError):
                await client.chat.completions.create(model=name, messages=[HELLO], stream=stream)

        await asyncio.gather(*map(fails, FAILURES))
    _judge(_counted_calls(failing))


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_grpcs_retry_policy_through_the_front(stack: Stack, failing: Provider, stream: bool) -> None:
    _counted_calls(failing)
    trust = grpc.ssl_channel_credentials(stack.ca.read_bytes())
    options = [("grpc.service_config", json.dumps(POLICY)), ("grpc.enable_retries", 1)]
    async with grpc.aio.secure_channel(stack.grpc_front, trust, options) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        metadata = stack.metadata(FRONT)

        async def fails(name: str) -> None:
            request = chat_request(route=name)
            counted: Any = (
                stub.StreamChat(request, metadata=metadata).read() if stream else stub.Chat(request, metadata=metadata)
            )
            with pytest.raises(grpc.aio.AioRpcError):
                await counted

        names = FAILURES.keys() - {"later"}  # there gRPC waits for as long as it is told: an hour
        await asyncio.gather(*map(fails, names))
    _judge(_counted_calls(failing), names)


async def test_connections_that_all_went_stale_do_not_multiply_the_attempts(provider: Provider) -> None:
    """Several kept connections, each reset at its next request: one of them is replaced beside the budget, not two."""
    async with Core(to(openai_upstream(provider), retries=Retries(1, backoff_s=0.001))) as core:
        gate = provider.gate()
        provider.script = lambda call: replace(default_reply(call, call.json), before=gate)
        several = [asyncio.create_task(core.chat()) for _ in range(4)]
        await provider.until(lambda p: len(p.calls) == len(several))
        gate.open()
        await asyncio.gather(*several)
        provider.calls.clear()
        provider.script = FAILURES["reset"]
        with pytest.raises(GatewayError) as caught:
            await core.chat()
    assert caught.value.kind is Kind.UPSTREAM_UNAVAILABLE
    assert len(provider.calls) == PROVIDER_CALLS_MAX
