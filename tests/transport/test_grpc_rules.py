"""gRPC over HTTP/2, rule by rule: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. By frames, ours alone."""

from __future__ import annotations

import base64
import gzip
import json

import pytest
from google.rpc import error_details_pb2, status_pb2

from sidecar.transport import Limits
from tests.transport.raw import END_HEADERS, END_STREAM, HEADERS, Answer, Raw, block, frame, message
from tests.transport.service import DETAILS, ODD_TEXT, Serving

ECHO = "/test.Bytes/echo"


async def answer_to(client: Raw, headers: bytes, body: bytes = message(b"hi")) -> Answer:
    client.send(frame(HEADERS, END_HEADERS, 1, headers))
    client.data(1, body, end=True)
    return await client.answer(1)


async def test_an_answer_is_a_head_a_message_and_trailers(raw: Raw) -> None:
    raw.call(1, ECHO, b"hi")
    answer = await raw.answer(1)
    assert answer.headers[0][":status"] == "200"
    assert answer.headers[0]["content-type"] == "application/grpc"
    assert answer.data == message(b"hi")
    assert answer.headers[1] == {"grpc-status": "0"}


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"])
async def test_grpc_is_a_content_type_of_its_own(raw: Raw, kind: str) -> None:
    assert (await answer_to(raw, block(ECHO, content_type=kind))).status == 0


@pytest.mark.parametrize(
    "kind", ["application/json", "application/grpc-web", "application/grpc+json", "application/grpcx", "text/plain", ""]
)
async def test_any_other_content_type_is_415(raw: Raw, kind: str) -> None:
    answer = await answer_to(raw, block(ECHO, content_type=kind))
    assert answer.headers == [{":status": "415", "accept": "application/grpc, application/grpc+proto"}]


async def test_no_content_type_is_415(raw: Raw) -> None:
    assert (await answer_to(raw, block(ECHO, without=["content-type"]))).headers[0][":status"] == "415"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"])
async def test_any_method_but_post_is_405(raw: Raw, method: str) -> None:
    answer = await answer_to(raw, block(ECHO, method=method))
    assert (answer.headers[0][":status"], answer.headers[0]["allow"]) == ("405", "POST")


@pytest.mark.parametrize("te", [None, "gzip", "trailers2"])
async def test_a_proxy_that_drops_trailers_is_named(raw: Raw, te: str | None) -> None:
    """RFC 9113 allows no other value of `te` at all; then the stream is reset."""
    answer = await answer_to(raw, block(ECHO, without=["te"]) if te is None else block(ECHO, te=te))
    assert answer.reset is not None or (answer.status == 13 and "te: trailers" in answer.last["grpc-message"])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/test.Bytes/none", "no such method"),
        ("/test.Nothing/echo", "no such service"),
        ("/test.Bytes/echo/", "no such service"),
        ("/test.Bytes", "no such service"),
        ("/", "no such service"),
        ("/test.Bytes/ECHO", "no such method"),
        ("//test.Bytes/echo", "no such service"),
        ("/test.Bytes/echo?x=1", "no such method"),
    ],
)
async def test_what_does_not_exist_is_unimplemented(raw: Raw, path: str, words: str) -> None:
    answer = await answer_to(raw, block(path))
    assert len(answer.headers) == 1, "trailers alone, in a head that ends the stream"
    assert answer.status == 12
    assert words in answer.last["grpc-message"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1H", 3600), ("99999999n", 0.1), ("5M", 300), ("30S", 30), ("2500m", 2.5), ("99999999u", 100)],
)
async def test_a_timeout_has_six_units(raw: Raw, text: str, seconds: float) -> None:
    answer = await answer_to(raw, block("/test.Bytes/deadline", ("grpc-timeout", text)))
    assert 0 < json.loads(answer.data[5:]) <= seconds + 0.001  # of a float


async def test_a_timeout_that_has_passed_ends_the_call(raw: Raw) -> None:
    for stream, text in ((1, "50m"), (3, "50000u"), (5, "1n"), (7, "0S")):
        raw.call(stream, "/test.Bytes/wait", b"", ("grpc-timeout", text))
        assert (await raw.answer(stream)).status == 4


@pytest.mark.parametrize(
    "text", ["1", "S", "", "1s", "-1S", "1.5S", "123456789S", "1 S", "٣S".encode().decode("latin-1")]
)
async def test_a_timeout_that_is_none_is_refused(raw: Raw, text: str) -> None:
    answer = await answer_to(raw, block(ECHO, ("grpc-timeout", text)))
    assert answer.status == 13
    assert "grpc-timeout" in answer.last["grpc-message"]


async def test_metadata_keeps_repetition_and_bytes(raw: Raw) -> None:
    """Values of one key keep their order; that of different keys means nothing in HTTP."""
    packed = base64.b64encode(b"\0\xff").decode()
    pairs = [
        ("x-a", "1"),
        ("x-b-bin", packed),
        ("x-a", "2"),
        ("x-c-bin", packed.rstrip("=")),
        ("x-d", ""),
        ("x-e-bin", ""),
    ]
    answer = await answer_to(
        raw, block("/test.Bytes/metadata", *pairs, ("grpc-timeout", "1M"), ("x-f-bin", f"{packed},AA"))
    )
    assert json.loads(answer.data[5:]) == [
        ["x-a", "1"],
        ["x-a", "2"],
        ["x-b-bin", "00ff"],
        ["x-c-bin", "00ff"],
        ["x-d", ""],
        ["x-e-bin", ""],
        ["x-f-bin", "00ff"],
        ["x-f-bin", "00"],
    ]


@pytest.mark.parametrize("value", ["!", "AAA=A", "A", "====", "AA AA"])
async def test_bytes_that_are_no_base64_are_refused(raw: Raw, value: str) -> None:
    answer = await answer_to(raw, block(ECHO, ("x-b-bin", value)))
    assert answer.status == 13
    assert "x-b-bin" in answer.last["grpc-message"]


async def test_metadata_goes_back_in_the_head_and_in_the_trailers(raw: Raw) -> None:
    pairs = [("x-initial", "one"), ("x-initial-bin", "AAE"), ("x-trailing", "two"), ("x-trailing-bin", "AAH/")]
    answer = await answer_to(raw, block("/test.Bytes/metadata", *pairs))
    head, trailers = answer.headers
    assert (head["x-initial"], head["x-initial-bin"]) == ("one", "AAE")
    assert trailers == {"grpc-status": "0", "x-trailing": "two", "x-trailing-bin": "AAH/"}


async def test_a_message_of_a_status_is_percent_encoded_utf8(raw: Raw) -> None:
    answer = await answer_to(raw, block("/test.Bytes/refuse"))
    assert answer.status == 9
    assert answer.last["grpc-message"] == (
        "%09%0Atest with whitespace%0D%0Aand Unicode BMP %E2%98%BA and non-BMP %F0%9F%98%88 %25 %09%0A"
    )
    assert ODD_TEXT.startswith("\t\ntest")
    assert base64.b64decode(answer.last["grpc-status-details-bin"] + "==") == DETAILS
    assert answer.last["x-more"] == "kept"
    assert len(answer.headers) == 1, "an error before the answer began is trailers alone"


async def test_an_error_after_a_message_is_in_the_trailers(raw: Raw) -> None:
    raw.call(1, "/test.Bytes/refuse_late")
    answer = await raw.answer(1)
    assert answer.data == message(b"one")
    assert answer.last == {"grpc-status": "3", "grpc-message": "too late"}


async def test_a_bug_is_internal_and_keeps_its_words(raw: Raw) -> None:
    raw.call(1, "/test.Bytes/bug")
    assert (await raw.answer(1)).last["grpc-message"] == "The gateway failed."


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no message"),
        (b"\0", "in the middle"),
        (b"\0\0\0\0", "in the middle"),
        (b"\0\0\0\0\3hi", "in the middle"),
        (message(b"hi") + b"\0", "in the middle"),
        (message(b"hi") + message(b""), "more than one message"),
        (b"\2\0\0\0\2hi", "flag"),
        (b"\1\0\0\0\2hi", "grpc-encoding"),
    ],
)
async def test_a_body_that_is_not_one_message_is_answered_at_once(raw: Raw, body: bytes, words: str) -> None:
    answer = await answer_to(raw, block(ECHO), body)
    assert answer.status == 13
    assert words in answer.last["grpc-message"]


async def test_a_request_of_headers_alone_has_no_message(raw: Raw) -> None:
    raw.begin(1, ECHO, end=True)
    assert (await raw.answer(1)).status == 13


async def test_a_request_may_end_by_trailers(raw: Raw) -> None:
    raw.begin(1, ECHO)
    raw.data(1, message(b"hi"))
    raw.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, b""))
    assert (await raw.answer(1)).data == message(b"hi")


async def test_a_message_may_come_in_any_pieces(raw: Raw) -> None:
    whole = message(b"hello")
    raw.begin(1, ECHO)
    for at in range(len(whole)):
        raw.data(1, whole[at : at + 1])
        await raw.drain()
    raw.data(1, b"", end=True)
    assert (await raw.answer(1)).data == whole


@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_000])
async def test_a_message_packed_by_gzip_is_read(raw: Raw, size: int) -> None:
    packed = message(gzip.compress(b"x" * size), 1)
    answer = await answer_to(raw, block("/test.Bytes/echo", ("grpc-encoding", "gzip")), packed)
    assert answer.headers[0]["grpc-accept-encoding"] == "identity,gzip"
    assert answer.status == 0
    assert answer.data == message(b"x" * size)


async def test_gzip_may_be_named_and_not_used(raw: Raw) -> None:
    assert (await answer_to(raw, block(ECHO, ("grpc-encoding", "gzip")))).status == 0
    raw.send(frame(HEADERS, END_HEADERS, 3, block(ECHO, ("grpc-encoding", "identity"))))
    raw.data(3, message(b"hi"), end=True)
    assert (await raw.answer(3)).status == 0


@pytest.mark.parametrize("encoding", ["deflate", "br", "snappy", "zstd", "gzip, gzip", ""])
async def test_any_other_packing_is_unimplemented_and_ours_are_named(raw: Raw, encoding: str) -> None:
    answer = await answer_to(raw, block(ECHO, ("grpc-encoding", encoding)))
    assert answer.status == 12
    assert answer.last["grpc-accept-encoding"] == "identity,gzip"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no gzip",
        gzip.compress(b"hi")[:-3],
        gzip.compress(b"hi") + b"x",
        gzip.compress(b"a") + gzip.compress(b"b"),
    ],
    ids=["empty", "no gzip", "cut short", "with more behind it", "two in one"],
)
async def test_a_broken_packing_is_refused(raw: Raw, data: bytes) -> None:
    answer = await answer_to(raw, block(ECHO, ("grpc-encoding", "gzip")), message(data, 1))
    assert answer.status == 13


async def test_a_packed_bomb_is_refused_while_it_is_unpacked() -> None:
    bomb = message(gzip.compress(bytes(50_000_000)), 1)
    async with Serving(limits=Limits(message_bytes=1_000_000)) as small, await Raw.to(small.port) as client:
        answer = await answer_to(client, block(ECHO, ("grpc-encoding", "gzip")), bomb)
        assert answer.status == 8
        assert "after decompression" in answer.last["grpc-message"]


async def test_a_message_that_is_too_large_is_refused_before_it_is_read() -> None:
    async with Serving(limits=Limits(message_bytes=1000)) as small, await Raw.to(small.port) as client:
        client.begin(1, ECHO)
        client.data(1, b"\0" + (1001).to_bytes(4, "big"))
        answer = await client.answer(1)
        assert answer.status == 8
        assert "1001 bytes" in answer.last["grpc-message"]
        client.data(1, b"x" * 1001, end=True)
        client.call(3, ECHO, b"x" * 1000)
        assert (await client.answer(3)).status == 0


async def test_a_request_that_is_no_protobuf_is_an_invalid_argument(raw: Raw, caplog: pytest.LogCaptureFixture) -> None:
    raw.call(1, "/grpc.health.v1.Health/Check", b"\xff\xff\xff")
    answer = await raw.answer(1)
    assert answer.status == 3
    details = status_pb2.Status.FromString(base64.b64decode(answer.last["grpc-status-details-bin"] + "=="))
    info = error_details_pb2.ErrorInfo()
    assert details.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("INVALID_REQUEST", "sidecar")
    assert "HealthCheckRequest" in details.message
    assert not caplog.records, "no traceback for what a caller did"
