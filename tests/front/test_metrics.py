"""What Nginx counts of itself: each request once, under words of our own, readable only by its owner."""

from __future__ import annotations

from pathlib import Path

import grpc
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.front.programs import PROGRAMS
from sidecar.front.settings import METRICS_SOCKET
from sidecar.v1 import inference_pb2, inference_pb2_grpc
from tests.front.conftest import Front, start_front
from tests.front.double import Core

CHAT = "/v1/chat/completions"
NGINX = pytest.mark.parametrize("front", [PROGRAMS["nginx"]], ids=["nginx"], indirect=True)
TOO_LARGE = b"a" * (33 * 1024 * 1024)
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def _seen(front: Front) -> Samples:
    transport = httpx.AsyncHTTPTransport(uds=str(front.folder / "run" / METRICS_SOCKET))
    async with httpx.AsyncClient(transport=transport, base_url="http://front") as http:
        answer = await http.get("/metrics")
        assert (await http.get("/")).status_code == 404, "nothing else is there"
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def _requests(samples: Samples, group: str, kind: str) -> float:
    return samples.get(("sidecar_front_requests_total", frozenset({("group", group), ("class", kind)})), 0)


def _count(samples: Samples, name: str) -> float:
    return samples[(f"sidecar_front_{name}", frozenset())]


@NGINX
async def test_each_answer_is_counted_once_by_path_group_and_class(front: Front, core: Core) -> None:
    before = await _seen(front)
    async with front.http() as http:
        for path, options, group, kind in (
            ("/v1/models", {"headers": front.basic}, "openai", "2xx"),
            ("/v1/models", {}, "openai", "4xx"),
            ("/v1/nothing", {"headers": front.basic}, "openai", "4xx"),
            ("/health", {}, "health", "2xx"),
            ("/gateway/nothing", {}, "mlflow", "4xx"),
            ("/endpoints/nothing", {}, "mlflow", "4xx"),
            ("/api/nothing?query=1", {}, "mlflow", "4xx"),
            ("/docs/nothing", {}, "docs", "4xx"),
            ("/openapi.json", {}, "docs", "4xx"),
            ("/", {}, "docs", "4xx"),
            ("/?query=1", {}, "other", "4xx"),
            ('/%22,evil="1', {"headers": front.basic}, "other", "4xx"),
        ):
            expected = _requests(await _seen(front), group, kind) + 1
            await http.get(path, **options)  # type: ignore[arg-type]
            await _counted(front, group, kind, expected)
    after = await _seen(front)
    assert _count(after, "auth_failures_total") == _count(before, "auth_failures_total") + 8
    infinity = ("sidecar_front_request_duration_seconds_bucket", frozenset({("group", "openai"), ("le", "+Inf")}))
    count = ("sidecar_front_request_duration_seconds_count", frozenset({("group", "openai")}))
    assert after[infinity] == after[count] >= 3
    assert after[count] - before.get(count, 0) == 3


async def _counted(front: Front, group: str, kind: str, expected: float) -> None:
    """The log phase comes after the answer: the client may be quicker."""
    last: list[float] = []

    async def look() -> bool:
        last.append(_requests(await _seen(front), group, kind))
        return last[-1] >= expected

    for _ in range(2000):
        if await look():
            break
    assert last[-1] == expected, (group, kind)


@NGINX
async def test_a_body_too_large_is_counted(front: Front, core: Core) -> None:
    before = _count(await _seen(front), "too_large_total")
    async with front.http() as http:
        answer = await http.post(CHAT, headers={**front.basic, "content-type": "application/json"}, content=TOO_LARGE)
        assert answer.status_code == 413
    await _reached(front, "too_large_total", before + 1)


async def _reached(front: Front, name: str, expected: float) -> None:
    for _ in range(2000):
        if _count(await _seen(front), name) >= expected:
            break
    assert _count(await _seen(front), name) == expected


@NGINX
async def test_grpc_is_counted_by_its_own_status(front: Front, core: Core) -> None:
    before = await _seen(front)
    async with front.channel() as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        await stub.Chat(inference_pb2.ChatRequest(), metadata=tuple(front.basic.items()))
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Chat(inference_pb2.ChatRequest())
    await _counted(front, "grpc", "2xx", _requests(before, "grpc", "2xx") + 1)
    await _counted(front, "grpc", "4xx", _requests(before, "grpc", "4xx") + 1)
    assert _count(await _seen(front), "auth_failures_total") == _count(before, "auth_failures_total") + 1


async def test_a_worker_that_cannot_be_reached_is_counted(state: Path) -> None:
    front = start_front(state)
    try:
        async with front.http() as http:
            assert (await http.get("/v1/models", headers=front.basic)).status_code == 503
        seen = await _seen(front)
        assert _count(seen, "connect_errors_total") == 2, "both sockets were tried"
    finally:
        front.stop()
