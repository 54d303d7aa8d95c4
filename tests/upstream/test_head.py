"""Heads of answers: what two readers could read differently is refused."""

from __future__ import annotations

import time

import pytest

from sidecar.upstream.failures import BadHead, HeadTooLarge
from sidecar.upstream.head import read_head


def head(*lines: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    return "".join(f"{line}\r\n" for line in (status, *lines, "")).encode("latin-1")


@pytest.mark.parametrize(
    ("raw", "length", "chunked", "reusable"),
    [
        (head("content-length: 5"), 5, False, True),
        (head("Content-Length:5"), 5, False, True),
        (head("CONTENT-LENGTH: \t 5 \t"), 5, False, True),
        (head("content-length: 0"), 0, False, True),
        (head("transfer-encoding: chunked"), None, True, True),
        (head("Transfer-Encoding: Chunked"), None, True, True),
        (head(), None, False, False),
        (head("content-length: 5", "connection: close"), 5, False, False),
        (head("content-length: 5", "Connection: Keep-Alive, Close"), 5, False, False),
        (head("content-length: 5", "connection: keep-alive"), 5, False, True),
        (head("content-length: 5", "connection: enclosed"), 5, False, True),
        (head("content-length: 5", "x-connection: close"), 5, False, True),
        (head("content-length: 5", status="HTTP/1.0 200 OK"), 5, False, False),
        (head("content-length: 5", "connection: keep-alive", status="HTTP/1.0 200 OK"), 5, False, False),
        (head("content-length: 5", status="HTTP/1.1 204 No Content"), 0, False, True),
        (head("content-length: 5", status="HTTP/1.1 304 Not Modified"), 0, False, True),
        (head("content-length: 5", status="HTTP/1.1 200"), 5, False, True),
        (head("content-length: 5", status="HTTP/1.1 200 "), 5, False, True),
        (head("content-length: 5", status="HTTP/1.1 529 \xdcberlastet"), 5, False, True),
        (head("content-length: 5", "x: content-length: 7, \xfc"), 5, False, True),
        (head("content-length: 5", "x:"), 5, False, True),
    ],
)
def test_a_head_says_how_long_the_body_is_and_whether_the_connection_stays(
    raw: bytes, length: int | None, chunked: bool, reusable: bool
) -> None:
    read = read_head(raw)
    assert (read.length, read.chunked, read.reusable) == (length, chunked, reusable)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(head("content-length: 5", "transfer-encoding: chunked"), id="length and chunked"),
        pytest.param(head("transfer-encoding: chunked", "content-length: 0"), id="chunked and length"),
        pytest.param(head("content-length: 5", "content-length: 6"), id="two lengths"),
        pytest.param(head("content-length: 5", "Content-Length: 5"), id="two equal lengths"),
        pytest.param(head("content-length: 5, 5"), id="lengths in a list"),
        *(
            pytest.param(head(f"content-length: {value}"), id=f"length {value!r}")
            for value in ("", "-1", "+5", "0x5", "5.0", "1e3", "5 5", "1_0", "\xb2", "9" * 19, "five")
        ),
        *(
            pytest.param(head(f"transfer-encoding: {value}"), id=f"coding {value!r}")
            for value in ("", "gzip", "gzip, chunked", "chunked, chunked", "chunked, gzip", "identity", "xchunked")
        ),
        pytest.param(head("transfer-encoding: chunked", "transfer-encoding: chunked"), id="chunked twice"),
        pytest.param(head("transfer-encoding: chunked", status="HTTP/1.0 200 OK"), id="chunked in HTTP/1.0"),
        pytest.param(head("x: a", " b", "content-length: 2"), id="a folded line"),
        pytest.param(head("x: a", "\tb", "content-length: 2"), id="a line folded by a tab"),
        pytest.param(head(" x: a"), id="a blank first"),
        pytest.param(head("content-length : 2"), id="a blank before the colon"),
        pytest.param(head("x"), id="no colon"),
        pytest.param(head(": x"), id="no name"),
        pytest.param(head("x\xe9: a"), id="a name that is no token"),
        pytest.param(head("x(y): a"), id="parentheses in a name"),
        pytest.param(head("x: a\0b"), id="NUL"),
        pytest.param(head("x: a\x07b"), id="a control character"),
        pytest.param(head("x: a\x7fb"), id="DEL"),
        pytest.param(head("x: a\rb"), id="a bare CR"),
        pytest.param(head("x: a\nb: c"), id="a bare LF"),
        pytest.param(head("x: a\n"), id="LF before CR LF"),
        pytest.param(head(status="HTTP/1.1 101 Switching Protocols"), id="101"),
        *(
            pytest.param(head(status=line), id=repr(line))
            for line in (
                "HTTP/2 200 OK", "HTTP/1.2 200 OK", "HTTP/1 200 OK", "http/1.1 200 OK", "HTTP/1.1  200 OK", "HTTP/1.1 20 OK",
                "HTTP/1.1 2000 OK", "HTTP/1.1 099 OK", "HTTP/1.1 2x0 OK", "HTTP/1.1\t200 OK", "HTTP/1.1 200OK", "SSH-2.0-x",
                "HTTP/1.1 200 a\0b", " HTTP/1.1 200 OK", "",
            )
        ),
    ],
)  # fmt: skip
def test_a_head_that_could_be_read_in_two_ways_is_refused(raw: bytes) -> None:
    with pytest.raises(BadHead):
        read_head(raw)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(head("x: " + "a" * 20_000), id="a long line"),
        pytest.param(head(*["x: a"] * 300), id="many lines"),
        pytest.param(head(status="HTTP/1.1 200 " + "a" * 20_000), id="a long reason"),
    ],
)
def test_a_head_has_a_limit(raw: bytes) -> None:
    with pytest.raises(HeadTooLarge):
        read_head(raw)


def test_values_are_read_without_the_blanks_around_them_and_names_in_lower_case() -> None:
    read = read_head(head("Retry-After:\t 7 ", "X-A: b:c", "x-a: d", "empty:"))
    assert read.headers() == {"retry-after": "7", "x-a": "d", "empty": ""}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("timeout=5", 5), ("timeout=5, max=100", 5), ("max=3,timeout=75", 75), ("max=3", None), ("timeout=x", None)],
)
def test_the_time_after_which_a_server_will_close_is_read(value: str, seconds: int | None) -> None:
    assert read_head(head("content-length: 0", f"Keep-Alive: {value}")).keep_alive_s == seconds


@pytest.mark.parametrize(
    ("value", "coding"), [("GZIP", "gzip"), ("", ""), ("identity", "identity"), ("br , gzip", "br , gzip")]
)
def test_the_coding_of_the_content_is_read_in_lower_case(value: str, coding: str) -> None:
    assert read_head(head(f"Content-Encoding: {value}")).coding == coding


@pytest.mark.parametrize(
    ("name", "filler"),
    [("x: ", " \t"), ("x: ", ":"), ("connection: ", "close,"), ("content-length: ", "1 "), ("", "x"), ("", "x:")],
)
def test_no_head_takes_more_than_linear_time(name: str, filler: str) -> None:
    """As a ratio: sixteen times the bytes may take sixty times as long, not 256."""

    def took_s(size: int) -> float:
        raw = head(name + filler * (size // len(filler)))
        began = time.perf_counter()
        for _ in range(20):
            try:
                read_head(raw)
            except (BadHead, HeadTooLarge):
                pass
        return time.perf_counter() - began

    assert min(took_s(16_000) for _ in range(7)) < 60 * max(min(took_s(1_000) for _ in range(7)), 20e-6)
