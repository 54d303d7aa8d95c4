"""Compressed REST bodies: what was meant arrives, and what would fill memory does not."""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from google.api.httpbody_pb2 import HttpBody

from sidecar.domain.sizes import MIB, REQUEST_BYTES_MAX
from sidecar.v1 import rest_pb2
from sidecar.worker.rest.request_coding import RATIO_MAX
from tests.provider import Provider
from tests.worker.running import WorkerProcess, default_routes
from tests.worker.test_rest import USER, Http, chat, post, read

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "zstd": zstd.compress,
    "ZSTD": zstd.compress,
}
BY_CODING = pytest.mark.parametrize("coding", COMPRESS)


@pytest.fixture
async def worker(provider: Provider) -> AsyncIterator[WorkerProcess]:
    async with WorkerProcess(default_routes(provider.base_url)) as running:
        yield running


def _body(text: str) -> bytes:
    return json.dumps(chat(messages=[{"role": "user", "content": text}])).encode()


async def _send(worker: WorkerProcess, body: bytes, coding: str | None) -> Http:
    metadata = USER if coding is None else (*USER, ("content-encoding", coding))
    return await post(worker, "ChatCompletions", body, metadata)


@BY_CODING
async def test_the_provider_gets_what_was_compressed(worker: WorkerProcess, provider: Provider, coding: str) -> None:
    compress = COMPRESS[coding]
    long = random.Random(7).randbytes(MIB).hex()
    plain = _body("hello")
    parts = {
        "small": (plain, compress(plain)),
        "large": (_body(long), compress(_body(long))),
        "in two members or frames": (plain, compress(plain[:9]) + compress(plain[9:])),
        "repetition below a megabyte": (_body("a" * (MIB - 200)), compress(_body("a" * (MIB - 200)))),
    }
    for what, (meant, sent) in parts.items():
        answer = await _send(worker, sent, coding)
        assert answer.status == 200, (what, answer.body)
        assert provider.calls[-1].json["messages"] == json.loads(meant)["messages"], what


async def test_plain_json_is_taken_whatever_coding_is_named(worker: WorkerProcess) -> None:
    for coding in ("identity", "", "gzip"):
        assert (await _send(worker, _body("hello"), coding)).status == 200


@BY_CODING
async def test_a_damaged_body_is_400_and_says_why(worker: WorkerProcess, provider: Provider, coding: str) -> None:
    whole = COMPRESS[coding](_body("hello" * 1000))
    block = 10 if "gzip" in coding else 7  # where the first one begins; its type cannot be 3
    other = COMPRESS["zstd" if "gzip" in coding else "gzip"](_body("hello"))
    bodies = {
        "is incomplete": whole[:-9],
        "which Content-Encoding announces": whole[:block] + b"\xff" * 20 + whole[block + 20 :],
        f"is not valid {coding.lower()}, which": other,
    }
    for words, body in bodies.items():
        answer = await _send(worker, body, coding)
        assert (answer.status, answer.error["code"]) == (400, "invalid_request"), words
        assert words in answer.error["message"]
    answer = await _send(worker, whole, None)
    assert answer.status == 400
    assert "Content-Encoding is missing" in answer.error["message"]
    assert provider.calls == []


@BY_CODING
async def test_what_grows_too_much_is_413_long_before_it_has_grown(
    worker: WorkerProcess, provider: Provider, coding: str
) -> None:
    bomb = COMPRESS[coding](b'{"a": "' + bytes(8 * MIB))
    answer = await _send(worker, bomb, coding)
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")
    assert f"more than {RATIO_MAX} times its size" in answer.error["message"]
    assert (await _send(worker, COMPRESS[coding](_body("hello")), coding)).status == 200
    assert len(provider.calls) == 1


async def test_the_limit_of_a_body_is_that_of_a_plain_one(worker: WorkerProcess, provider: Provider) -> None:
    sent = zstd.compress(_body(random.Random(7).randbytes(REQUEST_BYTES_MAX // 2 + 1).hex()))
    answer = await _send(worker, sent, "zstd")
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")
    assert f"{REQUEST_BYTES_MAX:,} bytes" in answer.error["message"]
    assert provider.calls == []


async def test_a_window_that_http_does_not_allow_is_refused(worker: WorkerProcess) -> None:
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    compressor = zstd.ZstdCompressor(options=options)
    body = compressor.compress(_body(random.Random(7).randbytes(2 * MIB).hex()), zstd.ZstdCompressor.FLUSH_BLOCK)
    answer = await _send(worker, body + compressor.flush(), "zstd")
    assert answer.status == 400


@pytest.mark.parametrize("path", ["QueryMlflowRoute", "QueryMlflowEndpoint", "InvokeMlflow"])
async def test_mlflows_paths_take_them_too(worker: WorkerProcess, path: str) -> None:
    messages = [{"role": "user", "content": "hello"}]
    body = HttpBody(content_type="application/json", data=gzip.compress(json.dumps({"messages": messages}).encode()))
    request: Any = getattr(rest_pb2, f"{path}Request")(name="chat", body=body)
    answer = await read(getattr(worker.rest(), path)(request, metadata=(*USER, ("content-encoding", "gzip"))))
    assert answer.status == 200, answer.body


async def test_a_refused_body_is_counted_as_a_call(provider: Provider) -> None:
    async with WorkerProcess(default_routes(provider.base_url), metrics=True) as worker:
        await _send(worker, gzip.compress(b"{}")[:-1], "gzip")
        counted = [each for each in worker.samples("sidecar_requests_total") if each.value]
    assert [(each.labels["outcome"], each.value) for each in counted] == [("invalid_request", 1)]
