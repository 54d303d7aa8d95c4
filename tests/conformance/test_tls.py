"""What a client may speak to either front: TLS 1.2 or 1.3, forward secrecy and AEAD; and for what it may take its time."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sidecar.front.programs import Program
from tests.conformance.asking import Side
from tests.crawl.wire import Http1
from tests.front.conftest import Front, start_core, start_front
from tests.front.double import Script
from tests.processes import reached

pytestmark = pytest.mark.slow
MODERN = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
)
# By key exchange, by mode, by age. The certificate is ECDSA, so those of RSA could not be spoken anyhow.
WEAK = (
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-ECDSA-AES128-SHA256",
    "AES128-GCM-SHA256",
    "AES256-SHA",
    "PSK-AES128-CBC-SHA",
)
CUT_S = 1
# What a busy machine may add to it, and Envoy's tenfold.
CUT_DEADLINE_S = 60.0


def _spoken(port: int, trust: ssl.SSLContext, version: ssl.TLSVersion, ciphers: str = "") -> tuple[str | None, str]:
    """Version and cipher that come of offering only these. ssl.SSLError, ConnectionError."""
    trust.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    trust.maximum_version = version
    trust.set_ciphers(f"{ciphers or 'ALL'}:@SECLEVEL=0")  # level 0: this side would refuse them first
    with (
        socket.create_connection(("127.0.0.1", port), 30) as plain,
        trust.wrap_socket(plain, server_hostname="localhost") as spoken,
    ):
        used = spoken.cipher()
        assert used is not None
        return spoken.version(), used[0]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_what_is_older_than_tls_1_2_is_refused(fronts: list[Front], version: ssl.TLSVersion) -> None:
    for front in fronts:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _spoken(front.port, front.tls(), version)


@pytest.mark.parametrize("cipher", WEAK)
def test_a_weak_cipher_is_refused(fronts: list[Front], cipher: str) -> None:
    for front in fronts:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _spoken(front.port, front.tls(), ssl.TLSVersion.TLSv1_2, cipher)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_this_client_would_speak_them_with_a_server_that_does(fronts: list[Front]) -> None:
    """The control: it is the fronts that refuse. (What needs an RSA certificate cannot be shown here.)"""
    front = fronts[0]
    lenient = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    lenient.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    lenient.set_ciphers("ALL:@SECLEVEL=0")
    lenient.load_cert_chain(front.settings.tls_certificate, front.settings.tls_key)
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        port = server.getsockname()[1]
        offers = [(ssl.TLSVersion.TLSv1_1, "ALL"), *((ssl.TLSVersion.TLSv1_2, each) for each in WEAK[:3])]
        for version, cipher in offers:
            pool.submit(lambda: lenient.wrap_socket(server.accept()[0], server_side=True).close())
            spoken = _spoken(port, front.tls(), version, cipher)
            assert spoken[0] == "TLSv1.1" if cipher == "ALL" else spoken == ("TLSv1.2", cipher)


@pytest.mark.parametrize("cipher", MODERN)
def test_a_modern_cipher_is_spoken(fronts: list[Front], cipher: str) -> None:
    """The control of the two above."""
    for front in fronts:
        assert _spoken(front.port, front.tls(), ssl.TLSVersion.TLSv1_2, cipher) == ("TLSv1.2", cipher)
        assert _spoken(front.port, front.tls(), ssl.TLSVersion.TLSv1_3)[0] == "TLSv1.3"


async def test_a_kept_connection_is_used_again_and_again(sides: list[Side]) -> None:
    for side in sides:
        key = side.front.bearer["authorization"]
        request = f"GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: {key}\r\n\r\n".encode()
        with Http1(side.front.port, side.front.tls()) as http:
            for _ in range(50):
                assert (await asyncio.to_thread(http.ask, request)).status == 200
            assert http.connections == 1


HEAD = "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("what", ["nothing at all", "no end of its head", "no end of its body"])
async def test_a_sender_that_takes_its_time_is_cut(program: Program, state: Path, what: str) -> None:
    """Each sends a byte again and again where the clock is of the whole, and nothing where it is of silence."""
    limit = "body_timeout_s" if "body" in what else "header_timeout_s"
    front = start_front(state, program, **{limit: CUT_S})
    core = await start_core(front)
    credentials = f"Authorization: {front.basic['authorization']}\r\n"
    head = HEAD + (credentials + "Content-Length: 9\r\n\r\n{" if "body" in what else "X-A: ")
    drop = b"a" if "head" in what else b""
    began_s = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", front.port), 30) as plain:
            trust = None if what == "nothing at all" else front.tls()
            assert await asyncio.to_thread(_cut, plain, trust, head.encode(), drop)
        assert core.calls == []
    finally:
        print(f"\n{program.name}: {what}: {time.monotonic() - began_s:.1f} s")
        await core.stop()
        front.stop()


def _cut(plain: socket.socket, trust: ssl.SSLContext | None, head: bytes, drop: bytes) -> bool:
    """Whether the other side ends it. Blocks."""
    if trust is None:
        return _ended(plain, b"")
    try:
        client = trust.wrap_socket(plain, server_hostname="localhost")
        client.sendall(head)
    except (ConnectionError, ssl.SSLError):  # a busy machine: the handshake alone took too long
        return True
    with client:
        return _ended(client, drop)


def _ended(client: socket.socket, drop: bytes) -> bool:
    """Sends `drop` again and again until the other side has closed. Blocks."""
    client.settimeout(0.2)
    end_s = time.monotonic() + CUT_DEADLINE_S
    while time.monotonic() < end_s:
        try:
            client.sendall(drop)
            if not client.recv(4096):
                return True
        except TimeoutError:
            continue
        except (ConnectionError, ssl.SSLError):
            return True
    return False


async def test_more_calls_at_once_than_one_client_may_have_are_429(state: Path) -> None:
    """Nginx's alone, see docs/concepts/fronts.md."""
    front = start_front(state, calls_per_client=2)
    core = await start_core(front)
    core.script = Script(content_type="text/event-stream", pieces=[b"data: 1\n\n"], hold=True)
    try:
        async with front.http() as http, front.http(2) as other:
            held = [
                asyncio.ensure_future(each.post("/v1/chat/completions", json={}, headers=front.basic))
                for each in (http, other)
            ]
            await reached(lambda: len(core.calls) == 2, 30)
            refused = await other.get("/v1/models", headers=front.basic)
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
            for call in held:
                call.cancel()
            await asyncio.gather(*held, return_exceptions=True)
        await reached(lambda: all(call.ended_s is not None for call in core.calls), 30)
        core.script = Script()
        async with front.http() as http:
            assert (await http.get("/v1/models", headers=front.basic)).status_code == 200
    finally:
        await core.stop()
        front.stop()


async def test_a_password_is_in_no_log_and_never_reaches_the_core(sides: list[Side]) -> None:
    for side in sides:
        front = side.front
        for headers in (front.basic, front.bearer):
            for path in ("/v1/models", "/nothing", f"/v1/models?key={front.password}", "/v1/models/the-last"):
                await side.clients[1].get(path, headers=headers)
        await reached(lambda front=front: front.logs.count("/v1/models/the-last") >= 2, 30)  # type: ignore[misc]
        pieces = [
            front.password,
            *(headers["authorization"].split()[1][:24] for headers in (front.basic, front.bearer)),
        ]
        seen = front.logs + str([call.metadata for call in side.core.calls])
        assert "alice" in seen  # the control: callers are told apart in both
        assert not [piece for piece in pieces if piece in seen]
