"""A balancer that takes a prefix off the path, as an ingress does, and says so: plain HTTP in, plain HTTP out."""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

_TIMEOUT_S = 30.0
_OWN_HEADERS = frozenset({"connection", "transfer-encoding", "content-length", "date", "server"})


class Balancer:
    """with Balancer(port, "/llm") as balancer: everything below its `url` goes to the port."""

    def __init__(self, port: int, prefix: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not self.path.startswith(f"{prefix}/"):
                    self.send_error(404)
                    return
                length = int(self.headers.get("content-length", 0))
                headers = {**self.headers, "X-Forwarded-Prefix": prefix, "X-Forwarded-For": self.client_address[0]}
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
                connection.request(
                    self.command, self.path.removeprefix(prefix), self.rfile.read(length), headers=headers
                )
                answer = connection.getresponse()
                body = answer.read()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in _OWN_HEADERS:
                        self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                connection.close()

            do_POST = do_GET  # noqa: N815  # the name that http.server looks for

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}{prefix}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
