"""Requests of chosen callers to a front, many at once over HTTP/2, as raw as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.crawl.targets import Target
from tests.crawl.wire import Answer, http2
from tests.garbage.conftest import Gateway

WITH_BODY = ("POST", "PUT", "PATCH")


@dataclass(frozen=True, slots=True)
class Ask:
    """`user` None: without credentials. `path`: the request line's, where it is not the target's own."""

    what: str
    target: Target
    user: str | None
    body: bytes = b""
    path: str = ""

    @property
    def text(self) -> str:
        return f"{self.target.verb} {(self.path or self.target.path)[:100]} by {self.user}, {self.what}"


def ask(gateway: Gateway, asks: Sequence[Ask]) -> Iterator[tuple[Ask, Answer]]:
    """Each with its answer."""
    trust = gateway.stack.trust()
    trust.set_alpn_protocols(["h2"])
    return zip(asks, http2(gateway.stack.port, trust, (_request(gateway, each) for each in asks)), strict=True)


def _request(gateway: Gateway, each: Ask) -> tuple[list[tuple[bytes, bytes]], bytes]:
    fields = [
        (b":method", each.target.verb.encode()),
        (b":scheme", b"https"),
        (b":authority", b"localhost"),
        (b":path", (each.path or each.target.path).encode()),
    ]
    if each.target.verb in WITH_BODY:
        fields.append((b"content-type", b"application/json"))
    if each.user is not None:
        fields.append((b"authorization", b"Bearer " + gateway.keys[each.user].encode()))
    return fields, each.body
