"""Checks our own front proxy: that it serves, and that a chat is answered.

It must present exactly the certificate that it was given. Issuer and names are not verified: a public certificate
names the public host, but is used on loopback here.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from sidecar.supervisor.start.addresses import Address
from sidecar.supervisor.start.options import FrontOptions

_HEALTH_TIMEOUT_S = 2.0
# The embedded model answers a few tokens within a second; a busy CI machine takes a minute.
_CHAT_TIMEOUT_S = 120.0
_ANSWER_BYTES_MAX = 1024 * 1024
# By the config: no consumer or not this route (404); a limit, or a budget spent before the restart (429).
_NOT_FOR_THIS_USER = frozenset({404, 429})
_PROXY_LINE = b"PROXY UNKNOWN\r\n"  # our own connection, so no other address applies
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class FirstChatFailed(Exception):
    """The chat failed; the message says what was received instead."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where to connect. `preface` is sent before TLS: a front behind a load balancer may expect a PROXY protocol
    header."""

    address: Address
    preface: bytes = b""

    @classmethod
    def of(cls, front: FrontOptions) -> Entrance:
        return cls(front.addresses[0], _PROXY_LINE if front.proxy_protocol else b"")


def reachable(address: Address) -> Address:
    """The address for calling a server bound to `address` from this machine."""
    return Address(_WILDCARDS.get(address.host, address.host), address.port)


def served(entrance: Entrance) -> bytes | None:
    """Returns the certificate presented in a handshake (DER); None if the handshake fails."""
    host = reachable(entrance.address)
    try:
        with socket.create_connection((host.host, host.port), timeout=_HEALTH_TIMEOUT_S) as connection:
            connection.sendall(entrance.preface)
            with _anybody().wrap_socket(connection) as secured:
                return secured.getpeercert(binary_form=True)
    except (OSError, ValueError):
        return None


def healthy(entrance: Entrance, certificate: Path) -> bool:
    """Whether `GET /health` answers 200."""
    try:
        status, _ = _call(entrance, certificate, "GET", "/health", None, {}, _HEALTH_TIMEOUT_S)
    except (OSError, http.client.HTTPException):
        return False
    return status == 200


def first_chat(entrance: Entrance, certificate: Path, api_key: str, route: str) -> str | None:
    """Asks the route for a few words and returns them; None if this user may not call it, or not now. Raises
    FirstChatFailed."""
    body = {"model": route, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 12}
    headers = {"content-type": "application/json", "authorization": f"Bearer {api_key}"}
    try:
        status, answer = _call(
            entrance, certificate, "POST", "/v1/chat/completions", json.dumps(body).encode(), headers, _CHAT_TIMEOUT_S
        )
    except (OSError, http.client.HTTPException) as error:
        raise FirstChatFailed(f"The first chat was not answered: {error}.") from None
    if status in _NOT_FOR_THIS_USER:
        return None
    if status != 200:
        raise FirstChatFailed(
            f"The first chat was answered with HTTP {status}: {answer[:200].decode('utf-8', 'replace')}."
        )
    try:
        return str(json.loads(answer)["choices"][0]["message"]["content"])
    except (ValueError, LookupError, TypeError):
        raise FirstChatFailed("The answer to the first chat is not a chat completion.") from None


def _call(
    entrance: Entrance,
    certificate: Path,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    timeout_s: float,
) -> tuple[int, bytes]:
    context = _anybody()
    host = reachable(entrance.address)
    connection = http.client.HTTPConnection(host.host, host.port, timeout=timeout_s)
    try:
        connection.connect()
        connection.sock.sendall(entrance.preface)
        connection.sock = context.wrap_socket(connection.sock)
        _refuse_another(connection.sock, certificate)
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(_ANSWER_BYTES_MAX)
    finally:
        connection.close()


def _anybody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the certificate is compared with the file, which is stricter than any chain
    return context


def _refuse_another(sock: socket.socket, certificate: Path) -> None:
    """Called before anything is sent: an API key must not go to another server on this port."""
    assert isinstance(sock, ssl.SSLSocket)
    from sidecar.front.pki import first_certificate

    expected = ssl.PEM_cert_to_DER_cert(first_certificate(certificate.read_text()))
    if sock.getpeercert(binary_form=True) != expected:
        raise ssl.SSLError("another server's certificate")
