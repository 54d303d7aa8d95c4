"""The head of an answer, by RFC 9112 and strict: what two readers could read differently is refused.

Refused: bare line feeds, folded lines, blanks before a colon, control characters, content-length twice, not in digits or with a
transfer-encoding, any transfer-encoding but `chunked`, a chunked answer in HTTP/1.0, 101.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from adapters import Headers
from sidecar.upstream.failures import BadHead, HeadTooLarge

# All lines together. OpenAI sends 2 KiB, Azure up to 6; a content security policy may add 10.
HEAD_BYTES_MAX = 64 * 1024
# One line. The limit that has been there from the start; no provider comes near it.
_LINE_BYTES_MAX = 16 * 1024
# Proxies in a row add some each: the most seen is 60.
_FIELDS_MAX = 256

# Each alternative ends at a CR LF that no value can hold: linear in the length.
_HEAD = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?\r\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*)\r\n"
)
_FIELD = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*")
# What decides on the body's length and the connection's life. The rest of the fields is only read when somebody asks.
_FRAMING = re.compile(
    rb"^(connection|content-encoding|content-length|keep-alive|transfer-encoding):([^\r]*)\r$",
    re.IGNORECASE | re.MULTILINE,
)
_KEEP_ALIVE_S = re.compile(rb"(?:^|[ ,;])timeout=([0-9]{1,6})(?:$|[ ,;])", re.IGNORECASE)
# 999 PB: what comes is bounded elsewhere, this only keeps the number small.
_LENGTH_DIGITS_MAX = 18

_NO_BODY = (204, 304)


@dataclass(frozen=True, slots=True)
class Head:
    """`length` of the body in bytes; None where it is chunked or ends with the connection. `reusable`: another request may go out
    on the connection once the body was read. `keep_alive_s`: after how much silence the server will close it, if it says so.
    `coding`: the content-encoding in lower case, "" for none."""

    status: int
    length: int | None
    chunked: bool
    reusable: bool
    keep_alive_s: int | None
    coding: str
    _fields: bytes

    def headers(self) -> Headers:
        """Names in lower case; of a repeated field the last one."""
        pairs = (line.partition(":") for line in self._fields.decode("latin-1").split("\r\n")[:-1])
        return {name.lower(): value.strip(" \t") for name, _, value in pairs}


def read_head(data: bytes, *, bodiless: bool = False) -> Head:
    """`data` is a whole head with the empty line at its end. `bodiless`: the answer of a request that has none by its method.

    Raises BadHead, HeadTooLarge.
    """
    match = _HEAD.fullmatch(data)
    if match is None:
        raise BadHead("The head breaks a rule of HTTP/1.1.")
    version, status, fields = match.groups()
    if len(fields) > _LINE_BYTES_MAX and max(map(len, fields.split(b"\r\n"))) > _LINE_BYTES_MAX:
        raise HeadTooLarge(f"A header is longer than {_LINE_BYTES_MAX} bytes.")
    if fields.count(b"\n") > _FIELDS_MAX:
        raise HeadTooLarge(f"There are more than {_FIELDS_MAX} headers.")
    return _framed(int(status), version == b"1", fields, bodiless=bodiless)


def _framed(status: int, current: bool, fields: bytes, *, bodiless: bool) -> Head:
    """RFC 9112 section 6.3. `current`: HTTP/1.1."""
    length: int | None = None
    chunked = False
    reusable = current
    keep_alive_s: int | None = None
    coding = ""
    for name, padded in _FRAMING.findall(fields):
        value = padded.strip(b" \t")
        match name.lower():
            case b"content-length":
                if length is not None or not value.isdigit() or len(value) > _LENGTH_DIGITS_MAX:
                    raise BadHead("content-length is no number, or there are two.")
                length = int(value)
            case b"transfer-encoding":
                if chunked or value.lower() != b"chunked" or not current:
                    raise BadHead("transfer-encoding is something else than chunked.")
                chunked = True
            case b"connection":
                reusable = reusable and b"close" not in [token.strip(b" \t") for token in value.lower().split(b",")]
            case b"keep-alive":
                if found := _KEEP_ALIVE_S.search(value):
                    keep_alive_s = int(found[1])
            case _:
                coding = f"{coding},{value.decode('latin-1').lower()}" if coding else value.decode("latin-1").lower()
    if status == 101:
        raise BadHead("The protocol was switched, though nobody had asked for it.")
    if chunked and length is not None:
        raise BadHead("There are both content-length and transfer-encoding.")
    if bodiless or status in _NO_BODY or status < 200:
        length, chunked = 0, False
    return Head(status, length, chunked, reusable and (chunked or length is not None), keep_alive_s, coding, fields)


def fields_are_good(data: bytes) -> bool:
    """Whether these are lines of a trailer section, each with its CR LF."""
    return _FIELD.fullmatch(data) is not None
