"""Provider: the server in its own thread and loop, its record, its gates and its control paths."""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

import trustme

from tests.provider.defaults import error_reply
from tests.provider.faults import Faults
from tests.provider.record import Call, Connection
from tests.provider.reply import Gate, Reply, Script, json_reply
from tests.provider.server import HttpServer, Log

DEADLINE_S = 10.0
POLL_S = 0.002
# Loopback tests open hundreds of connections at once; a short backlog would drop SYNs and cost a second each.
BACKLOG = 1024


class Provider:
    """One simulated provider on 127.0.0.1. `tls`: serve HTTPS with a certificate of its own CA (`ca_file`);
    `clients_ca`: to clients with a certificate of this CA alone.

    `base_url` ends in /v1 (OpenAI's way); `root_url` does not (Anthropic's way). `script` may change at any time.
    """

    def __init__(
        self, *, tls: bool = False, port: int = 0, script: Script | None = None, clients_ca: trustme.CA | None = None
    ) -> None:
        self.script = script
        self._clients_ca = clients_ca
        self._tls = tls
        self.port = port
        self._log = Log()
        self._gates: dict[str, Gate] = {}
        self._loop = asyncio.new_event_loop()
        self._faults = Faults(self.gate)
        self._thread = threading.Thread(target=self._run, name="provider-simulator", daemon=True)
        self._started = threading.Event()
        self._failure: OSError | None = None
        self._stop = asyncio.Event()
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    @property
    def calls(self) -> list[Call]:
        return self._log.calls

    @property
    def connections(self) -> list[Connection]:
        return self._log.connections

    @property
    def open_connections(self) -> list[Connection]:
        return [connection for connection in self._log.connections if connection.is_open]

    @property
    def root_url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.root_url}/v1"

    @property
    def ca_file(self) -> Path:
        """The CA's PEM file; only with tls=True, while the provider runs."""
        if self._directory is None:
            raise RuntimeError("only a running Provider(tls=True) has a CA")
        return Path(self._directory.name) / "ca.pem"

    def gate(self, name: str = "") -> Gate:
        """Returns a gate for a script's reply. The same name returns the same gate (a request's `sim` can wait at
        it)."""
        if not name:
            return Gate(self._loop)
        return self._gates.setdefault(name, Gate(self._loop))

    def wait_for(self, predicate: Callable[[Provider], object], deadline_s: float = DEADLINE_S) -> None:
        """Returns once predicate(self) is true. Raises AssertionError at the deadline. Not for a test that runs on
        a loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise RuntimeError("this would block the loop under test: use `await provider.until(...)`")
        end_s = time.monotonic() + deadline_s
        while not predicate(self):
            if time.monotonic() > end_s:
                raise AssertionError(f"not within {deadline_s} s; the provider saw:\n{self.summary()}")
            time.sleep(POLL_S)

    async def until(self, predicate: Callable[[Provider], object], deadline_s: float = DEADLINE_S) -> None:
        """`wait_for` for async tests."""
        end_s = time.monotonic() + deadline_s
        while not predicate(self):
            if time.monotonic() > end_s:
                raise AssertionError(f"not within {deadline_s} s; the provider saw:\n{self.summary()}")
            await asyncio.sleep(POLL_S)

    def summary(self) -> str:
        """A summary of the record for failure messages."""
        rows = [f"call {c.id} {c.method} {c.target} parts={len(c.sent)} outcome={c.outcome}" for c in self.calls[-20:]]
        return "\n".join([*rows, f"{len(self.connections)} connections, {len(self.open_connections)} open"])

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            self._loop.close()
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()
        if self._directory is not None:
            self._directory.cleanup()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, value, trace)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        try:
            server = await self._loop.create_server(
                lambda: HttpServer(self._log, self._answer),
                "127.0.0.1",
                self.port,
                ssl=self._ssl_context() if self._tls else None,
                backlog=BACKLOG,
            )
        except OSError as failure:
            self._failure = failure
            self._started.set()
            return
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # A client that was killed just now may not have been seen to go: no transport must outlive its loop.
        for transport in tuple(self._log.transports):
            transport.abort()
        await asyncio.sleep(0)

    def _ssl_context(self) -> ssl.SSLContext:
        authority = trustme.CA()
        self._directory = tempfile.TemporaryDirectory()
        authority.cert_pem.write_to_path(str(self.ca_file))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        if self._clients_ca is not None:
            self._clients_ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _answer(self, call: Call) -> Reply:
        if call.path.startswith("/_sim/"):
            return self._control(call)
        try:
            scripted = self.script(call) if self.script is not None else None
        except Exception as failure:  # noqa: BLE001 - a broken script must show as a failed call, not as a hang
            return error_reply(call, 500, f"the test's script failed: {failure!r}")
        if scripted is not None:
            return scripted
        body = _object(call.body)
        if body is None:
            return error_reply(call, 400, "We could not parse the JSON body of your request.")
        return self._faults.reply(call, body)

    def _control(self, call: Call) -> Reply:
        action, query = call.path.removeprefix("/_sim/"), parse_qs(call.query)
        if action == "calls":
            return json_reply({"now_s": time.monotonic(), "calls": [seen.as_dict() for seen in self.calls]})
        if action == "release":
            name = query.get("gate", [""])[0]
            self.gate(name).open()
        elif action == "reset":
            self._log.calls.clear()
            self._gates.clear()
            self._faults = Faults(self.gate)
        else:
            return error_reply(call, 404, "the simulator has calls, release and reset")
        return json_reply({"ok": True})


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body or b"{}")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
