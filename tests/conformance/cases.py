"""Requests and what the core answers to them: every path and method from the descriptors, every refusal, every failure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc

from tests.crawl.targets import Target, targets
from tests.front.double import PIECE_BYTES_MAX, Script

CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}
EVENTS = [b'data: {"n":1}\n\n', b": keep-alive\n\n", b"data: [DONE]\n\n"]
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# What the core may send along, and what it may not (see rest.proto and deploy/nginx/rest.js).
CORE_HEADERS = (
    ("retry-after", "7"),
    ("x-should-retry", "false"),
    ("x-ratelimit-remaining-tokens", "12"),
    ("x-ratelimit-reset-requests", "1s"),
    ("x-sidecar-upstream", "openai"),
    ("x-sidecar-budget", "12 of 100"),
    ("x-sidecar-store", "away; local_share"),
    ("x-sidecar-left-out", "messages[].annotations, messages[].tool_calls[].index"),
    ("x-request-id", "from-the-core"),
    ("x-http-allow", "GET"),
    ("location", "/docs"),
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'self'"),
    ("referrer-policy", "no-referrer"),
    ("x-internal", "secret"),
    ("set-cookie", "a=b"),
)


@dataclass(frozen=True)
class Case:
    """One request, and the script of the core that gets it."""

    name: str
    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    credentials: str = "basic"
    """Or `bearer`, or `none`."""
    script: Script = field(default_factory=Script)
    raw: bytes = b""
    """Bytes to send instead, over HTTP/1.1 only."""


def cases() -> list[Case]:
    """All, each by its name."""
    made = [*_good(), *_refused(), *_methods(), *_statuses(), *_failures(), *_requests(), *_spellings(), *_raw()]
    assert len({case.name for case in made}) == len(made)
    return made


def _rest() -> list[Target]:
    return [target for target in targets() if not target.grpc]


def _call(target: Target) -> tuple[dict[str, str], bytes]:
    return (JSON, b'{"model":"chat"}') if target.verb in ("POST", "PUT", "PATCH") else ({}, b"")


def _good() -> Iterator[Case]:
    for target in _rest():
        headers, body = _call(target)
        for who in ("basic", "bearer"):
            yield Case(f"{target.verb} {target.path} by {who}", target.verb, target.path, headers, body, who)


def _refused() -> Iterator[Case]:
    for target in _rest():
        headers, body = _call(target)
        name, join = f"{target.verb} {target.path}", "&" if "?" in target.path else "?"
        yield Case(f"{name} by nobody", target.verb, target.path, headers, body, "none")
        yield Case(f"{name} with an unknown query", target.verb, f"{target.path}{join}nope=1", headers, body)
        if body:
            yield Case(f"{name} as a form", target.verb, target.path, {"content-type": "text/plain"}, body)
            yield Case(f"{name} without a type", target.verb, target.path, {}, body)
            for coding in ("gzip", "ZSTD", "br"):
                compressed = {**headers, "content-encoding": coding}
                yield Case(f"{name} compressed by {coding}", target.verb, target.path, compressed, body)
            yield Case(f"{name} empty", target.verb, target.path, headers, b"")
        else:
            yield Case(f"{name} with a body", target.verb, target.path, JSON, b"{}")


def _methods() -> Iterator[Case]:
    """Every method that is not bound to a path."""
    verbs: dict[str, set[str]] = {}
    for target in _rest():
        verbs.setdefault(target.path.partition("?")[0], set()).add(target.verb)
    for path, bound in verbs.items():
        for method in METHODS:
            if method not in bound:
                body = b"{}" if method in ("POST", "PUT", "PATCH") else b""
                yield Case(f"{method} {path}, not bound", method, path, JSON if body else {}, body)


def _statuses() -> Iterator[Case]:
    def case(what: str, script: Script, method: str = "POST", path: str = CHAT) -> Case:
        return Case(
            what, method, path, JSON if method == "POST" else {}, b"{}" if method == "POST" else b"", script=script
        )

    for status in (
        200,
        201,
        204,
        302,
        307,
        400,
        401,
        402,
        403,
        404,
        405,
        409,
        413,
        415,
        422,
        424,
        429,
        499,
        500,
        502,
        503,
        504,
        529,
    ):
        pieces = [] if status == 204 else [b'{"error":', b'{"code":"x"}}']
        yield case(f"the core says {status}", Script(status=status, pieces=pieces))
    yield case("headers of the core", Script(status=429, headers=CORE_HEADERS))
    yield case(
        "headers of the core on a stream", Script(content_type="text/event-stream", headers=CORE_HEADERS, pieces=EVENTS)
    )
    yield case("HEAD with headers", Script(headers=CORE_HEADERS[:7], pieces=[b"{}"]), "HEAD", "/v1/models")
    yield case("events", Script(content_type="text/event-stream", pieces=EVENTS))
    yield case("events with a charset", Script(content_type="text/event-stream; charset=utf-8", pieces=EVENTS))
    yield case("a page", Script(content_type="text/html; charset=utf-8", pieces=[b"<p>"]), "GET", "/docs")
    yield case("no type", Script(content_type=None))
    yield case("no messages", Script(pieces=[]))
    yield case("empty messages", Script(pieces=[b"", b"a", b"", b"b", b""]))
    yield case("many messages", Script(pieces=[b"x" * PIECE_BYTES_MAX] * 20))
    yield case("one event of a megabyte", Script(content_type="text/event-stream", pieces=_large_event()))


def _large_event() -> list[bytes]:
    event = b"data: " + b"y" * 1024 * 1024 + b"\n\n"
    return [event[at : at + PIECE_BYTES_MAX] for at in range(0, len(event), PIECE_BYTES_MAX)]


def _failures() -> Iterator[Case]:
    for code in grpc.StatusCode:
        if code is not grpc.StatusCode.OK:
            for method, path in (("POST", CHAT), ("GET", "/v1/models")):
                body = b"{}" if method == "POST" else b""
                script = Script(pieces=[], abort=code, abort_text="KeyError: planted-secret")
                yield Case(
                    f"the core fails with {code.name}, {method}",
                    method,
                    path,
                    JSON if body else {},
                    body,
                    script=script,
                )
    broken = {"application/json": [b'{"id":'], "text/event-stream": EVENTS[:1]}
    for kind, pieces in broken.items():
        script = Script(content_type=kind, pieces=pieces, abort=grpc.StatusCode.INTERNAL)
        yield Case(f"the core breaks off {kind}", "POST", CHAT, JSON, b"{}", script=script)
    yield Case("the core says no status", "POST", CHAT, JSON, b"{}", script=Script(status=None, pieces=[b"not shown"]))
    yield Case("the core says an odd status", "POST", CHAT, JSON, b"{}", script=Script(status=7, pieces=[b"not shown"]))


def _requests() -> Iterator[Case]:
    """What of a request reaches the core."""
    sent = {
        "accept": "text/event-stream",
        "user-agent": "a/1",
        "x-request-id": "chosen-by-me",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "a=b",
    }
    not_passed = {
        "cookie": "a=b",
        "x-sidecar-user": "mallory",
        "x-forwarded-for": "1.2.3.4",
        "x-custom": "1",
        "x_under": "1",
    }
    yield Case("headers that pass", "POST", CHAT, {**JSON, **sent}, b"{}")
    yield Case("headers that do not", "POST", CHAT, {**JSON, **not_passed}, b"{}")
    yield Case("a bad request id", "POST", CHAT, {**JSON, "x-request-id": "a b"}, b"{}")
    yield Case("a type with a charset", "POST", CHAT, {"content-type": "application/json; charset=utf-8"}, b"{}")
    yield Case("a type in capitals", "POST", CHAT, {"content-type": "Application/JSON"}, b"{}")
    yield Case("encoding identity", "POST", CHAT, {**JSON, "content-encoding": "identity"}, b"{}")
    yield Case("every byte there is", "POST", CHAT, JSON, bytes(range(256)) * 300)
    yield Case("gRPC's type on a REST path", "POST", CHAT, {"content-type": "application/grpc"}, b"{}")
    yield Case("JSON on an RPC's path", "POST", "/sidecar.v1.InferenceService/Chat", JSON, b"{}")
    yield Case("JSON on RestService", "POST", "/sidecar.v1.RestService/ListModels", JSON, b"{}")
    yield Case("public with wrong credentials", "GET", "/health", {"authorization": "Basic YTpi"}, credentials="none")
    yield Case("a header of 17 KiB", "GET", "/v1/models", {"x-long": "a" * 17_000})


def _spellings() -> Iterator[Case]:
    paths = {
        "unknown": "/v1/nothing",
        "of gRPC's shape": "/a.B/C",
        "two slashes": "//v1/models",
        "two slashes inside": "/v1//models",
        "a slash behind": "/v1/models/",
        "a slash behind, below /api": "/api/2.0/endpoints/",
        "a dot": "/./v1/models",
        "two dots": "/x/../v1/models",
        "%2e": "/%2e/v1/models",
        "a letter written out": "/v1/%6dodels",
        "capitals": "/V1/models",
        "parameters": "/v1/models;a=b",
        "a variable written out": "/v1/models/%63hat",
        "a variable with signs": "/v1/models/a.b_c~d:e@f+g-h",
        "a variable with a blank": "/v1/models/a%20b",
        "a variable beyond ASCII": "/v1/models/%C3%A4",
        "a slash in a variable": "/v1/models/a%2Fb",
        "a slash as it stands": "/v1/models/a/b:c/d@e",
        "a slash in a variable of one segment": "/docs/a%2Fb",
        "a name with a star": "/v1/models/a/%2A",
        "a name and an ending": "/gateway/a/mlflow/b/invocations",
        "a name with two slashes": "/v1/models/a//b",
        "a name with dots between slashes": "/v1/models/a/../b",
        "a name with written dots": "/v1/models/a/%2e%2e/b",
        "a slash at the end of a name": "/api/2.0/endpoints/a/b/",
        "a newline behind a variable": "/v1/models/a%0A",
        "NUL": "/v1/models/a%00",
        "a long variable": "/v1/models/" + "a" * 256,
        "a variable that is too long": "/v1/models/" + "a" * 257,
        "a query": "/api/2.0/endpoints?page_token=eyJhIjoxfQ%3D%3D",
        "an empty query": "/v1/models?",
        "an empty value": "/api/2.0/endpoints?page_token=",
        "a query twice": "/api/2.0/endpoints?page_token=a&page_token=b",
        "a query beyond ASCII": "/api/2.0/endpoints?page_token=%C3%A4",
        "a variable in the query": "/v1/models/chat?id=other",
        "a parameter's name written out": "/api/2.0/endpoints?%70age_token=a",
        "a long value in the query": "/api/2.0/endpoints?page_token=" + "a" * 1025,
        "a slash in a variable that makes another path": "/api/2.0/endpoints/limits%2Fchat",
        "a plus in the query": "/api/2.0/endpoints?page_token=a+b",
        "the front's own page": "/./error",
        "a file of the front": "/inner.sock",
    }
    for what, path in paths.items():
        yield Case(f"path: {what}", "GET", path)
        yield Case(f"path: {what}, by nobody", "GET", path, credentials="none")


def _raw() -> Iterator[Case]:
    requests = {
        "no request": b"NONSENSE\r\n\r\n",
        "no host": b"GET /v1/models HTTP/1.1\r\n\r\n",
        "two hosts": b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "two credentials": b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n",
        "a long URL": b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        "a length that is none": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "length and chunks": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "a coding nobody knows": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        "a blank before the colon": b"GET / HTTP/1.1\r\nHost: a\r\nX-A : b\r\n\r\n",
        "TRACE": b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT": b"CONNECT localhost:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "a method nobody knows": b"FROB /v1/models HTTP/1.1\r\nHost: a\r\n\r\n",
        "HTTP/1.0": b"GET /v1/models HTTP/1.0\r\nHost: a\r\n\r\n",
        "HTTP/3.0": b"GET /v1/models HTTP/3.0\r\nHost: a\r\n\r\n",
        "NUL in a header": b"GET /v1/models HTTP/1.1\r\nHost: a\r\nX-A: a\0b\r\n\r\n",
        "an absolute target": b"GET https://localhost/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "a fragment": b"GET /v1/models#a HTTP/1.1\r\nHost: a\r\n\r\n",
    }
    for what, sent in requests.items():
        yield Case(f"raw: {what}", "", "", raw=sent)
