"""The head of an answer, by RFC 9112 and strict: what two readers could read differently is refused.

Refused: bare line feeds, folded lines, blanks before a colon, control characters, content-length twice, not in digits or with a
transfer-encoding, any transfer-encoding but `chunked`, a chunked answer in HTTP/1.0, 101.
"""

from __future__ import annotations

import re
from typing import NamedTuple

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
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n"
)
_FIELD = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*")
# The beginnings of a line with which read_head looks for what decides on the body and on the connection. The rest of the fields
# is only read when somebody asks.
_CONTENT_LENGTH = b"\r\ncontent-length:"
_TRANSFER_ENCODING = b"\r\ntransfer-encoding:"
_CONTENT_ENCODING = b"\r\ncontent-encoding:"
_CONNECTION = b"\r\nconnection:"
_KEEP_ALIVE = b"\r\nkeep-alive:"
_KEEP_ALIVE_S = re.compile("(?:^|[ ,;])timeout=([0-9]{1,6})(?:$|[ ,;])")
# 999 PB: what comes is bounded elsewhere, this only keeps the number small.
_LENGTH_DIGITS_MAX = 18

_NO_BODY = (204, 304)


class Head(NamedTuple):  # not a frozen dataclass: making one of those takes 3 us, a third of reading the head
    """`length` of the body in bytes; None where it is chunked or ends with the connection. `reusable`: another request may go out
    on the connection once the body was read. `keep_alive_s`: after how much silence the server will close it, if it says so.
    `coding`: the content-encoding in lower case, "" for none."""

    status: int
    length: int | None
    chunked: bool
    reusable: bool
    keep_alive_s: int | None
    coding: str
    raw: bytes

    def headers(self) -> Headers:
        """Names in lower case; of a repeated field the last one."""
        pairs = (line.partition(":") for line in self.raw.decode("latin-1").split("\r\n")[1:-2])
        return {name.lower(): value.strip(" \t") for name, _, value in pairs}


def read_head(raw: bytes, *, bodiless: bool = False) -> Head:
    """`raw` is a whole head with the empty line at its end. `bodiless`: the answer of a request that has none by its method.

    RFC 9112 section 6.3. Raises BadHead, HeadTooLarge.
    """
    match = _HEAD.fullmatch(raw)
    if match is None:
        raise BadHead("The head breaks a rule of HTTP/1.1.")
    if len(raw) > _LINE_BYTES_MAX and max(map(len, raw.split(b"\r\n"))) > _LINE_BYTES_MAX:
        raise HeadTooLarge(f"A header is longer than {_LINE_BYTES_MAX} bytes.")
    if raw.count(b"\n") > _FIELDS_MAX + 2:
        raise HeadTooLarge(f"There are more than {_FIELDS_MAX} headers.")
    status = int(match[2])
    current = match[1] == b"1"
    low = raw.lower()
    length = _content_length(low)
    chunked = _is_chunked(low, current)
    if chunked and length is not None:
        raise BadHead("There are both content-length and transfer-encoding.")
    if status == 101:
        raise BadHead("The protocol was switched, though nobody had asked for it.")
    if bodiless or status in _NO_BODY or status < 200:
        length, chunked = 0, False
    closes = not current or (_CONNECTION in low and any(map(_says_close, _values(low, _CONNECTION))))
    coding = ",".join(_values(low, _CONTENT_ENCODING)) if _CONTENT_ENCODING in low else ""
    keep_alive_s = _keep_alive_s(low) if _KEEP_ALIVE in low else None
    return Head(status, length, chunked, not closes and (chunked or length is not None), keep_alive_s, coding, raw)


def _content_length(low: bytes) -> int | None:
    at = low.find(_CONTENT_LENGTH)
    if at < 0:
        return None
    start = at + len(_CONTENT_LENGTH)
    value = low[start : low.find(b"\r", start)].strip(b" \t")
    if not value.isdigit() or len(value) > _LENGTH_DIGITS_MAX or low.find(_CONTENT_LENGTH, start) >= 0:
        raise BadHead("content-length is no number, or there are two.")
    return int(value)


def _is_chunked(low: bytes, current: bool) -> bool:
    if _TRANSFER_ENCODING not in low:
        return False
    if _values(low, _TRANSFER_ENCODING) != ["chunked"] or not current:
        raise BadHead("transfer-encoding is something else than chunked.")
    return True


def _keep_alive_s(low: bytes) -> int | None:
    found = _KEEP_ALIVE_S.search(_values(low, _KEEP_ALIVE)[0])
    return int(found[1]) if found else None


def _values(low: bytes, name: bytes) -> list[str]:
    """Of every line that begins so."""
    return [rest.partition(b"\r")[0].strip(b" \t").decode("latin-1") for rest in low.split(name)[1:]]


def _says_close(value: str) -> bool:
    return "close" in value and "close" in [token.strip(" \t") for token in value.split(",")]


def fields_are_good(data: bytes) -> bool:
    """Whether these are lines of a trailer section, each with its CR LF."""
    return _FIELD.fullmatch(data) is not None
