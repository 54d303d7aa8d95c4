"""Targets x spellings x credentials -> probes -> what came through that should not have."""

from __future__ import annotations

import base64
import ssl
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product

from sidecar.identity.users import api_key
from tests.crawl.mutations import LINES, MUTATIONS, SPELLINGS, Request, leads_to
from tests.crawl.targets import Target
from tests.crawl.wire import Answer, Http1, http2

# As few as keep the front busy while answers are read.
CONNECTIONS = 3
# What a stranger may be told: no request at all, no credentials, no such path; never what would be there. 0: the connection was
# ended without an answer, which says even less.
REFUSALS = frozenset({0, 400, 401, 404, 426})  # 426: Envoy takes no HTTP/1.0
GRPC_REFUSALS = frozenset({"12", "13", "16"})  # UNIMPLEMENTED, INTERNAL (the front's 400), UNAUTHENTICATED
# Request lines with a method of their own kind are refused as such before anything is looked up.
ODD_METHODS = frozenset({"FROB"})
_GRPC_BODY = b"\0\0\0\0\0"
_JSON_BODY = b"{}"
Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Probe:
    """One request. `public`: it may be answered, because the public path is what it comes to."""

    what: str
    target: Target
    request: Request
    credentials: Headers

    @property
    def verb(self) -> str:
        return self.request.verb or self.target.verb

    @property
    def public(self) -> bool:
        return leads_to(self.request.target) == "/health"

    @property
    def content(self) -> tuple[Headers, bytes]:
        if self.target.grpc:
            return ((b"content-type", b"application/grpc"), (b"te", b"trailers")), _GRPC_BODY
        if self.target.verb in ("POST", "PUT", "PATCH"):
            return ((b"content-type", b"application/json"),), _JSON_BODY
        return (), b""

    def http1(self) -> bytes:
        """Without a body: Envoy closes the connection on whoever sends one and is refused, and handshakes take time."""
        headers, body = self.content
        first = b"%b %b %b" % (self.verb.encode(), self.request.target, self.request.version)
        length = ((b"Content-Length", b"0"),) if body else ()
        fields = ((b"Host", self.request.host), *headers, *length, *self.credentials, *self.request.headers)
        return b"\r\n".join([first, *(b"%b: %b" % each for each in fields), b"", b""])

    def http2(self) -> tuple[Headers, bytes]:
        """With one."""
        headers, body = self.content
        pseudo = (
            (b":method", self.verb.encode()),
            (b":scheme", b"https"),
            (b":authority", self.request.host),
            (b":path", self.request.target),
        )
        return (*pseudo, *headers, *((name.lower(), value) for name, value in self.credentials)), body


@dataclass(slots=True)
class Crawl:
    """What came of it."""

    probes: int = 0
    connections: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    bypasses: list[str] = field(default_factory=list)
    public: int = 0
    """Probes that the public path answered."""

    def take(self, probe: Probe, answer: Answer, version: int) -> None:
        self.probes += 1
        self.statuses[f"{answer.status}" if answer.grpc is None else f"gRPC {answer.grpc}"] += 1
        if probe.public:
            self.public += answer.status == 200 and answer.grpc is None
            if answer.status < 500:
                return
        elif _refused(probe, answer):
            return
        sent = f"{probe.verb} {probe.request.target!r} over HTTP/{version} ({probe.what})"
        self.bypasses.append(f"{sent}: {answer.status}, gRPC {answer.grpc}, {answer.body[:100]!r}")


def _refused(probe: Probe, answer: Answer) -> bool:
    if answer.grpc is not None:
        return answer.status == 200 and answer.grpc in GRPC_REFUSALS and not answer.body.strip(b"\0")
    return answer.status in REFUSALS or (probe.verb in ODD_METHODS and answer.status == 405)


def strangers(user: str, password: str, gone: str, gone_password: str) -> dict[str, Headers]:
    """Credentials that do not hold. `gone` was a user once."""

    def basic(text: str) -> Headers:
        return ((b"Authorization", b"Basic " + base64.b64encode(text.encode())),)

    return {
        "no credentials": (),
        "a wrong password": basic(f"{user}:{password[:-1]}"),
        "an unknown user": basic(f"{user}2:{password}"),
        "a malformed Basic": ((b"Authorization", f"Basic {user}:{password}".encode()),),
        "a malformed Bearer": ((b"Authorization", b"Bearer " + api_key(user, password).encode()[:-9] + b"!=="),),
        "a removed user": ((b"Authorization", b"Bearer " + api_key(gone, gone_password).encode()),),
    }


def probes(targets: Sequence[Target], credentials: dict[str, Headers]) -> list[Probe]:
    """Every target in every spelling with all credentials; what only a request line can say with one of them, in turn."""
    made = []
    for number, (target, (spelling, make)) in enumerate(product(targets, MUTATIONS.items())):
        several = list(credentials.items())
        if spelling in LINES:
            several = [several[number % len(several)]]
        made += [Probe(f"{target.name}, {spelling}, {who}", target, make(target.path), some) for who, some in several]
    return made


def for_http2(made: Sequence[Probe]) -> list[Probe]:
    """Those that HTTP/2 can say: each target and spelling, with another of the credentials from one to the next."""
    sayable = [probe for probe in made if probe.what.split(", ")[1] in SPELLINGS]
    count = len({probe.what.rpartition(", ")[2] for probe in sayable})
    return [probe for number, probe in enumerate(sayable) if number % count == number // count % count]


def crawl(port: int, trust: ssl.SSLContext, trust_h2: ssl.SSLContext, made: Sequence[Probe]) -> Crawl:
    """All by HTTP/1.1, a share by HTTP/2. Blocks."""
    found = Crawl()

    def by_http1(some: Iterable[Probe]) -> list[tuple[Probe, Answer]]:
        with Http1(port, trust) as connection:
            answers = [(probe, connection.ask(probe.http1(), head=probe.verb == "HEAD")) for probe in some]
            found.connections += connection.connections
            return answers

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for answers in pool.map(by_http1, (made[number::CONNECTIONS] for number in range(CONNECTIONS))):
            for probe, answer in answers:
                found.take(probe, answer, 1)
    for probe, answer in _by_http2(port, trust_h2, for_http2(made)):
        found.take(probe, answer, 2)
    return found


def _by_http2(port: int, trust: ssl.SSLContext, some: Sequence[Probe]) -> Iterator[tuple[Probe, Answer]]:
    yield from zip(some, http2(port, trust, (probe.http2() for probe in some)), strict=True)
