"""`sidecar serve` on two state directories with one Redis, as an operator runs them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from sidecar.spend.archive import FILE_NAME, read_since
from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc
from tests.cli.running import Running, sidecar
from tests.processes import reached
from tests.provider import Provider, sse_reply
from tests.scale import SCALE
from tests.store.servers import RedisProcess
from tests.supervisor.supervised import descendants

pytestmark = pytest.mark.slow
LIMIT = 8
OPEN, DUE = "{sidecar:default}1:open", "{sidecar:default}1:due"


def config(provider: Provider, redis: RedisProcess, **settings: str) -> str:
    more = "".join(f", {key}: {value}" for key, value in settings.items())
    return f"""\
store:
  redis: {{url: "{redis.url}/0"}}
  timeout: 5s
routes:
  - name: chat
    route_type: llm/v1/chat
    model: {{provider: openai-compatible, name: sim, config: {{base_url: {provider.base_url}}}}}
    price: {{input: 100, output: 100}}
    limits: [{{requests: {LIMIT}, per: day{more}}}]
    budgets: [{{dollars: 100, per: month, when_unavailable: allow}}]
"""


@contextmanager
def gateways(tmp_path: Path, text: str) -> Iterator[list[Running]]:
    (tmp_path / "a").mkdir(exist_ok=True)
    (tmp_path / "b").mkdir(exist_ok=True)
    one = ("--workers", "1")
    with Running("serve", tmp_path / "a", text, *one) as first, Running("serve", tmp_path / "b", text) as second:
        yield [first, second]


async def call(gateway: Running) -> tuple[grpc.StatusCode, dict[str, Any]]:
    request = pb.ChatRequest(
        route="chat", messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hi")])]
    )
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(gateway.env["SIDECAR_GRPC_LOCAL"], options) as channel:
        done = inference_pb2_grpc.InferenceServiceStub(channel).Chat(request, timeout=30)
        return await done.code(), dict(await done.trailing_metadata() or ())


def usage(gateway: Running) -> list[dict[str, Any]]:
    done = gateway.call("usage", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


async def booked(gateway: Running, calls: int) -> None:
    """Returns once the archive of this gateway has so many."""
    path = gateway.state / FILE_NAME
    await reached(lambda: sum(line.counts.calls for line in read_since(path, "2000-01-01")) == calls, 30, "the archive")


def connected(redis: RedisProcess, workers: int) -> bool:
    return sum("cmd=" in line for line in redis.ask("CLIENT", "LIST").decode().splitlines()) > workers


async def test_two_gateways_share_a_limit_and_show_the_same_usage(
    tmp_path: Path, provider: Provider, redis: RedisProcess
) -> None:
    text = config(provider, redis)
    with gateways(tmp_path, text) as both:
        await reached(lambda: connected(redis, 5), 30, "all workers and supervisors in the store")
        found = [code for code, _ in await asyncio.gather(*(call(each) for each in both * LIMIT))]
        assert found.count(grpc.StatusCode.OK) == LIMIT
        assert found.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == LIMIT
        for each in both:
            await booked(each, LIMIT)
        one, other = (usage(each) for each in both)
        assert one == other
        assert one[0]["micro_dollars"] > 0
    with gateways(tmp_path, text) as both:  # a restart of all forgets nothing
        await reached(lambda: connected(redis, 5), 30, "all workers and supervisors in the store")
        for each in both:
            assert (await call(each))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_without_the_store_a_gateway_lets_in_its_share_says_so_and_books_it_later(
    tmp_path: Path, provider: Provider, redis: RedisProcess
) -> None:
    with gateways(tmp_path, config(provider, redis)) as both:
        await reached(lambda: connected(redis, 5), 30, "all workers and supervisors in the store")
        await reached(lambda: redis.ask("ZCARD", "{sidecar:default}1:gateways") == 2, what="both gateways")
        for each in both:
            assert (await call(each))[0] is grpc.StatusCode.OK
        await booked(both[0], 2)
        redis.kill()
        codes, notes = [], set()
        for _ in range(LIMIT):
            code, trailers = await call(both[0])
            codes.append(code)
            notes.add(trailers.get("x-sidecar-store"))
        assert "away; local_share, allow" in notes
        assert 1 <= codes.count(grpc.StatusCode.OK) <= LIMIT
        served = 2 + codes.count(grpc.StatusCode.OK)
        workers = [pid for pid in descendants(both[0].process.pid) if _is_worker(pid)]
        for pid in workers:  # what a killed worker could not send, the next one sends
            os.kill(pid, signal.SIGKILL)
        redis.start()
        for each in both:
            await booked(each, served)
        assert len(provider.calls) == served


async def test_what_a_killed_gateway_had_under_way_comes_back_when_it_expires(
    tmp_path: Path, provider: Provider, redis: RedisProcess
) -> None:
    gate = provider.gate()
    provider.script = lambda call: sse_reply([gate])
    with gateways(tmp_path, config(provider, redis)) as both:
        await reached(lambda: connected(redis, 5), 30, "all workers and supervisors in the store")
        hanging = [asyncio.create_task(call(both[0])) for _ in range(3)]
        await reached(lambda: redis.ask("HLEN", OPEN) == 3, 20, "three reservations")
        both[0].process.kill()
        await asyncio.gather(*hanging, return_exceptions=True)
        assert redis.ask("HLEN", OPEN) == 3
        now_ms = int(redis.ask("TIME")[0]) * 1000
        due = redis.ask("ZRANGE", DUE, 0, -1, "WITHSCORES")[1::2]
        assert all(0 < float(each) - now_ms <= 61_000 for each in due)
        if SCALE >= 1:
            await reached(lambda: redis.ask("HLEN", OPEN) == 0, 70, "the reservations to expire")
            provider.script = None
            assert (await call(both[1]))[1]["x-ratelimit-remaining-requests"] == str(LIMIT - 1)


def _is_worker(pid: int) -> bool:
    return b"sidecar.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()


async def test_a_gateway_starts_without_its_store(tmp_path: Path, provider: Provider, redis: RedisProcess) -> None:
    redis.kill()
    (tmp_path / "a").mkdir()
    with Running("serve", tmp_path / "a", config(provider, redis), "--workers", "1") as gateway:
        code, trailers = await call(gateway)
        assert code is grpc.StatusCode.OK
        assert trailers["x-sidecar-store"] == "away; local_share, allow"
        redis.start()
        await booked(gateway, 1)


def test_another_store_wants_a_restart(tmp_path: Path, provider: Provider, redis: RedisProcess) -> None:
    text = config(provider, redis)
    (tmp_path / "a").mkdir()
    with Running("serve", tmp_path / "a", text) as gateway:
        gateway.config.write_text(text.replace("timeout: 5s", "timeout: 4s"))
        done = gateway.call("reload")
        assert done.returncode != 0
        assert "`store` is read when the gateway starts" in done.stderr + done.stdout


def test_without_a_store_no_client_of_redis_is_loaded(tmp_path: Path) -> None:
    loaded = "import sys; import sidecar.worker.server, sidecar.supervisor.start.run; print('hiredis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
    assert sidecar("--help").returncode == 0
