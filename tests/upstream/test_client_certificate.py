"""A provider that asks for a client certificate gets the route's, and nobody else does."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Any

import pytest
import trustme
from cryptography import x509

from adapters import GatewayError, Kind
from sidecar.domain.client_certificate import ClientCertificate
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import CaBundle
from tests.upstream.raw import Request, a_client, fetch, raw_server
from tests.upstream.test_tls import a_proxy

CLIENTS = trustme.CA()
SERVERS = trustme.CA()
TRUST = CaBundle("ca.pem", SERVERS.cert_pem.bytes().decode())


def certificate(name: str, authority: trustme.CA = CLIENTS) -> ClientCertificate:
    made = authority.issue_cert(name)
    chain = "".join(each.bytes().decode() for each in made.cert_chain_pems)
    return ClientCertificate("client.pem", "client.key", chain, Secret(made.private_key_pem.bytes().decode()))


def context(mode: ssl.VerifyMode, *names: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    SERVERS.issue_cert(*(names or ("127.0.0.1", "localhost"))).configure_cert(made)
    CLIENTS.configure_trust(made)
    made.verify_mode = mode
    return made


@dataclass(slots=True)
class CallersSeen:
    """Answers, and keeps whom each call came from."""

    names: list[str] = field(default_factory=list)

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.names.append(_name(writer.get_extra_info("ssl_object")))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


def _name(ssl_object: ssl.SSLObject) -> str:
    der = ssl_object.getpeercert(binary_form=True)
    if der is None:
        return ""
    names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return str(names.value.get_values_for_type(x509.DNSName)[0])


async def test_a_provider_that_asks_gets_it_directly_and_through_a_proxy() -> None:
    callers = CallersSeen()
    fields: dict[str, Any] = {"scheme": "https", "host": "localhost", "client_certificate": certificate("a.example")}
    async with raw_server(callers, tls=context(ssl.CERT_REQUIRED)) as server, a_proxy(server.port) as proxy:
        async with a_client() as client:
            for url in (None, None, proxy.url):
                assert await fetch(client, server.port, proxy=url, **_trusting(fields)) == (200, b"ok")
        assert callers.names == ["a.example"] * 3
        assert server.connections == 2, "a connection is kept"


async def test_a_proxy_behind_tls_that_asks_does_not_get_what_is_for_the_provider() -> None:
    callers = CallersSeen()
    fields: dict[str, Any] = {"scheme": "https", "host": "localhost", "client_certificate": certificate("a.example")}
    tls = context(ssl.CERT_OPTIONAL)
    async with raw_server(callers, tls=context(ssl.CERT_REQUIRED)) as server, a_proxy(server.port, tls) as proxy:
        url = proxy.url.replace("http://", "https://")
        async with a_client() as client:
            assert await fetch(client, server.port, proxy=url, **_trusting(fields)) == (200, b"ok")
    assert callers.names == ["a.example"]
    async with raw_server(callers, tls=context(ssl.CERT_REQUIRED)) as server:
        async with a_proxy(server.port, context(ssl.CERT_REQUIRED)) as proxy, a_client() as client:
            url = proxy.url.replace("http://", "https://")
            with pytest.raises(GatewayError) as caught:
                await fetch(client, server.port, proxy=url, **_trusting(fields))
            assert caught.value.message == "The proxy refused to connect to the provider."


async def test_routes_of_one_provider_do_not_share_connections_of_different_certificates() -> None:
    callers = CallersSeen()
    async with raw_server(callers, tls=context(ssl.CERT_OPTIONAL)) as server, a_client() as client:
        for shown in (certificate("a.example"), None, certificate("b.example"), None):
            fields: dict[str, Any] = {"scheme": "https", "client_certificate": shown}
            assert await fetch(client, server.port, **_trusting(fields)) == (200, b"ok")
        assert callers.names == ["a.example", "", "b.example", ""]
        assert server.connections == 3


@pytest.mark.parametrize("shown", [None, certificate("a.example", trustme.CA())], ids=["none", "of another CA"])
async def test_without_the_right_one_the_caller_hears_of_a_handshake_and_the_log_the_reason(
    shown: ClientCertificate | None,
) -> None:
    async with raw_server(CallersSeen(), tls=context(ssl.CERT_REQUIRED)) as server, a_client() as client:
        with pytest.raises(GatewayError) as caught:
            await fetch(client, server.port, scheme="https", **_trusting({"client_certificate": shown}))
        assert caught.value.kind is Kind.UPSTREAM_UNAVAILABLE
        assert server.requests == []


def _trusting(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "ca_file": TRUST}
