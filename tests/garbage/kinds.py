"""What a caller can get wrong, as data: bodies that are no request, values that are none, names that nothing has."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Mapping
from typing import Any

_OBJECT = b'{"model": "chat", "name": "a", "route": "chat"}'
DEEP = 5_000

# No JSON object, whatever the path.
NO_OBJECT: Mapping[str, bytes] = {
    "nothing at all": b"",
    "blanks": b" \r\n\t",
    "null": b"null",
    "true": b"true",
    "a number": b"1",
    "NaN": b"NaN",
    "a text": b'"model"',
    "an empty list": b"[]",
    "a list of objects": b"[%b]" % _OBJECT,
    "cut in a name": _OBJECT[:5],
    "cut in a value": _OBJECT[:12],
    "cut before its end": _OBJECT[:-1],
    "two objects": _OBJECT * 2,
    "a letter behind": _OBJECT + b"x",
    "a comment": b"{/* */}",
    "single quotes": b"{'model': 'chat'}",
    "a name without quotes": b"{model: 1}",
    "a comma too many": b'{"model": "chat",}',
    "NaN inside": b'{"model": NaN}',
    "Infinity inside": b'{"model": -Infinity}',
    "a member twice": b'{"model": "chat", "model": "chat", "name": "a", "name": "a", "route": "a", "route": "a"}',
    "a member twice, once escaped": b'{"model": "chat", "mode\\u006c": "chat", "name": "a", "n\\u0061me": "a",'
    b'"route": "a", "rout\\u0065": "a"}',
    "deep lists": b'{"model": %b%b}' % (b"[" * DEEP, b"]" * DEEP),
    "deep objects": b'{"model": %b1%b}' % (b'{"a":' * DEEP, b"}" * DEEP),
    "deep and cut": b"[" * DEEP,
    "broken UTF-8": b'{"model": "\xff\xfe"}',
    "broken UTF-8 in a name": b'{"\xc3": 1}',
    "half a surrogate pair in UTF-8": b'{"model": "\xed\xa0\x80"}',
    "UTF-16": _OBJECT.decode().encode("utf-16"),
    "UTF-16, big end first": _OBJECT.decode().encode("utf-16-be"),
    "UTF-32": _OBJECT.decode().encode("utf-32"),
    "NUL": b"\0" * 64,
    "a raw NUL in a text": b'{"model": "a\0"}',
    "a raw newline in a text": b'{"model": "a\n"}',
    "every byte": bytes(range(256)),
    "protobuf": b"\x0a\x04chat",
    "a form": b"model=chat&name=a",
    "XML": b"<?xml version='1.0'?><model/>",
    "the head of gzip": b"\x1f\x8b\x08\0\0\0\0\0",
    "gzip, cut": gzip.compress(_OBJECT)[:-9],
    "the head of zstd": b"\x28\xb5\x2f\xfd" + b"\xff" * 32,
}

# Raw JSON, in place of one value.
VALUES: Mapping[str, str] = {
    "null": "null",
    "true": "true",
    "-1": "-1",
    "-0.0": "-0.0",
    "half": "0.5",
    "1e400": "1e400",
    "-1e400": "-1e400",
    "NaN": "NaN",
    "2^53": "9007199254740992",
    "2^63": "9223372036854775808",
    "400 digits": "9" * 400,
    "5,000 digits": "9" * 5000,
    "a number as text": '"1"',
    "a text with an exponent": '"1e400"',
    "an empty text": '""',
    "a dot": '"."',
    "two dots": '".."',
    "dots, written out": '"%2e%2e"',
    "a way up": '"../../etc/passwd"',
    "from the root": '"/etc/passwd"',
    "a slash": '"/"',
    "a long text": json.dumps("a" * 20_000),
    "NUL": '"a\\u0000b"',
    "a newline": '"a\\nb"',
    "DEL": '"a\\u007fb"',
    "half a surrogate pair": '"\\ud800"',
    "a right-to-left mark": '"\\u202e"',
    "an empty list": "[]",
    "an empty object": "{}",
    "a list of lists": "[[[[]]]]",
    "deep lists": "[" * 2000 + "]" * 2000,
    "an object with odd names": '{"": 1, "\\u0000": 1, "__proto__": 1}',
}

# Of a path's variable, as they are in the request line.
NAMES = (
    ".", "..", "%2e", "%2e%2e", "%2E%2e", "...", "", "%20", "%00", "%0a", "%0d%0a", "%7f", "%ff", "%c3%a4", "%", "%zz", "%25",
    "/", "%2f", "a//b", "a/../b", "a%2f..%2fb", "a/.", "chat/", "/chat", "..%2f..%2fetc%2fpasswd", "a%5cb",
    "-1", "0", "1e400", "NaN", "true", "null", "%7b%7d", "%5b%5d", "%22", "%27", "*", "a*", "a/*", "__proto__", "constructor",
    "toString", "a" * 128, "a" * 129, "a" * 257, "a" * 6000, "/".join("a" * 70), "resp_" + "0" * 32, "resp_", "CHAT", "chat%20",
)  # fmt: skip


def _token(value: str) -> str:
    return base64.b64encode(value.encode()).decode().replace("=", "%3D").replace("+", "%2B")


# Of a query parameter.
QUERIES = (
    "", "-1", "0", "+1", "1.5", "1e400", "NaN", "true", "null", "9" * 3, "9" * 400,
    "%D9%A3", "%00", "%0a", "%ff", "%c3%a4", "%", "a" * 1025,
    "%3D", "[]", "{}", ".", "..", "%2e%2e", "__proto__", "b25l", "====", "r1",
    *map(_token, (
        "{}", "[]", "null", '{"index": -1}', '{"index": 1.5}', '{"index": true}', '{"index": "1"}',
        '{"index": 1e400}', '{"index": NaN}',
        '{"index": 9223372036854775807}', '{"index": 9223372036854775808}', '{"index": %s}' % ("9" * 36), "[" * 40, "r-1",
        "r9999999999",
    )),
)  # fmt: skip


def spoiled(body: Any) -> Iterator[tuple[str, bytes]]:
    """The body with each of its values in turn replaced by each of VALUES: where and by what, and the bytes."""
    mark = "@here@"
    for where, marked in _marked(body, mark):
        whole = json.dumps(marked)
        for what, raw in VALUES.items():
            yield f"{where} is {what}", whole.replace(f'"{mark}"', raw).encode()


def _marked(value: Any, mark: str, at: str = "") -> Iterator[tuple[str, Any]]:
    """Each value within `value` in turn replaced by the mark; its place."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        place = f"{at}.{key}".lstrip(".")
        fresh = value.copy()
        fresh[key] = mark
        yield place, fresh
        for deeper, marked in _marked(inner, mark, place):
            fresh = value.copy()
            fresh[key] = marked
            yield deeper, fresh
