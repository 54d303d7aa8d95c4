"""Parses the head of an answer by RFC 9112, strictly: refuses whatever two parsers could interpret differently.

Refused: bare line feeds, folded lines, blanks before a colon, control characters, a content-length that is repeated,
not in digits or next to a transfer-encoding, any transfer-encoding but `chunked`, a chunked answer in HTTP/1.0, 101.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from adapters import Headers
from sidecar.upstream.failures import BadHead, HeadTooLarge

# All lines together. OpenAI sends 2 KiB, Azure up to 6; a content security policy may add 10.
HEAD_BYTES_MAX = 64 * 1024
# One line. No provider comes near it.
_LINE_BYTES_MAX = 16 * 1024
# Each proxy on the path adds some; the most seen is 60.
_FIELDS_MAX = 256

# Every alternative ends at a CR LF, which no value can contain, so matching is linear.
_HEAD = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?\r\n"
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n"
)
_FIELD = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*")
# Prefixes of the lines that determine the body and the connection. Other fields are parsed only on demand.
_CONTENT_LENGTH = b"\r\ncontent-length:"
_TRANSFER_ENCODING = b"\r\ntransfer-encoding:"
_CONTENT_ENCODING = b"\r\ncontent-encoding:"
_CONNECTION = b"\r\nconnection:"
_KEEP_ALIVE = b"\r\nkeep-alive:"
_KEEP_ALIVE_S = re.compile("(?:^|[ ,;])timeout=([0-9]{1,6})(?:$|[ ,;])")
# 999 PB: input is bounded elsewhere, this only keeps the number small.
_LENGTH_DIGITS_MAX = 18

_NO_BODY = (204, 304)


class Head(NamedTuple):  # not a frozen dataclass: constructing one takes 3 µs, a third of parsing the head
    """`length`: of the body in bytes; None if it is chunked or ends with the connection.
    `reusable`: whether another request may be sent on the connection after the body.
    `keep_alive_s`: idle time after which the server closes the connection, if it says so.
    `coding`: the content-encoding in lower case, or "".
    """

    status: int
    length: int | None
    chunked: bool
    reusable: bool
    keep_alive_s: int | None
    coding: str
    raw: bytes

    def headers(self) -> Headers:
        """Values by lower-case name; the last one of a repeated field."""
        pairs = (line.partition(":") for line in self.raw.decode("latin-1").split("\r\n")[1:-2])
        return {name.lower(): value.strip(" \t") for name, _, value in pairs}


def read_head(raw: bytes, *, bodiless: bool = False) -> Head:
    """Parses a whole head, including the empty line at its end. `bodiless`: answers to this method have no body.

    RFC 9112 section 6.3. Raises BadHead, HeadTooLarge.
    """
    match = _HEAD.fullmatch(raw)
    if match is None:
        raise BadHead("The head violates HTTP/1.1.")
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
        raise BadHead("The head has both content-length and transfer-encoding.")
    if status == 101:
        raise BadHead("The server switched protocols without being asked to.")
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
        raise BadHead("content-length is not a number, or is repeated.")
    return int(value)


def _is_chunked(low: bytes, current: bool) -> bool:
    if _TRANSFER_ENCODING not in low:
        return False
    if _values(low, _TRANSFER_ENCODING) != ["chunked"] or not current:
        raise BadHead("transfer-encoding is not chunked.")
    return True


def _keep_alive_s(low: bytes) -> int | None:
    found = _KEEP_ALIVE_S.search(_values(low, _KEEP_ALIVE)[0])
    return int(found[1]) if found else None


def _values(low: bytes, name: bytes) -> list[str]:
    """The values of every line with this prefix."""
    return [rest.partition(b"\r")[0].strip(b" \t").decode("latin-1") for rest in low.split(name)[1:]]


def _says_close(value: str) -> bool:
    return "close" in value and "close" in [token.strip(" \t") for token in value.split(",")]


def fields_are_good(data: bytes) -> bool:
    """Whether these are the lines of a trailer section, each with its CR LF."""
    return _FIELD.fullmatch(data) is not None
