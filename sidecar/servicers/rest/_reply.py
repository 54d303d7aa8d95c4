"""One HTTP answer by way of gRPC: status and headers as initial metadata, the body in pieces, the RPC ends OK (DESIGN 6)."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from google.api.httpbody_pb2 import HttpBody

from adapters import GatewayError, Kind
from sidecar.caller import Context, request_id_of
from sidecar.calls import Call
from sidecar.errors import client_may_retry, retry_after_s
from sidecar.servicers.rest._json import written
from sidecar.servicers.rest._shapes import OPENAI, Shape
from sidecar.snapshot import Timeouts
from sidecar.status import abort
from sidecar.writing import ClientStalled, write_within

log = logging.getLogger(__name__)

# Envoy holds a whole message, and answers 500 above its buffer (DESIGN 3).
PIECE_BYTES_MAX = 64 * 1024
JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"
# Proxies between us and the caller give all headers together 4 to 8 KiB.
LEFT_OUT_BYTES_MAX = 1024


class Reply:
    """As a context manager it turns what the body raises into an error answer of its shape, or into an in-band event once the
    answer has begun. `write_s` is how long the client may take for a piece."""

    def __init__(self, context: Context, shape: Shape = OPENAI) -> None:
        self._context = context
        self._shape = shape
        self._request_id = request_id_of(context.invocation_metadata() or ())
        self._begun = False
        self.upstream: str | None = None
        self.call: Call | None = None  # whose headers an answer and a refusal carry
        self.write_s = Timeouts().write_s

    async def __aenter__(self) -> Reply:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is None:
            return False
        if isinstance(error, ClientStalled):  # no message can be sent any more
            await abort(self._context, error)
        if not isinstance(error, Exception):  # cancelled: nobody is there to read an answer
            return False
        if not isinstance(error, GatewayError):
            log.error("a bug in the gateway, request %s", self._request_id, exc_info=error)
            error = GatewayError(Kind.INTERNAL, "The gateway failed.")
        await self._fail(error)
        return True

    async def _fail(self, error: GatewayError) -> None:
        if self._begun:
            await self._write(self._shape.event(error))
            return
        status = self._shape.status(error)
        extra: list[tuple[str, str]] = []
        wait_s = retry_after_s(error)
        if wait_s is not None:
            extra.append(("retry-after", str(max(1, math.ceil(wait_s)))))  # rounded up: earlier would be refused again
        if status >= 424 and not client_may_retry(error):
            extra.append(("x-should-retry", "false"))  # SDKs retry 429 and 5xx unless told otherwise
        await self._begin(status, JSON, extra)
        await self._write(self._shape.body(error))

    async def json(self, value: object) -> None:
        """Our own JSON with status 200."""
        await self.whole(written(value))

    async def whole(self, body: bytes) -> None:
        """A JSON answer with status 200."""
        await self._begin(200, JSON, [])
        await self._write(body, JSON)

    async def file(self, content_type: str, body: bytes, headers: list[tuple[str, str]], status: int = 200) -> None:
        """Something else than JSON. `headers` are of the kinds that the fronts copy."""
        await self._begin(status, content_type, headers)
        await self._write(body, content_type)

    async def events(self, data: bytes) -> None:
        """Server-sent events, whole ones; the first call begins the answer."""
        if not self._begun:
            await self._begin(200, EVENTS, [])
            await self._write(data, EVENTS)
        elif data:
            await self._write(data)

    async def _begin(self, status: int, content_type: str, extra: list[tuple[str, str]]) -> None:
        self._begun = True
        metadata = [
            ("x-http-status", str(status)),
            ("x-http-content-type", content_type),
            ("x-request-id", self._request_id),
            *extra,
        ]
        if self.upstream is not None:
            metadata.append(("x-sidecar-upstream", self.upstream))
        if self.call is not None:
            metadata.extend(self.call.headers)
            if self.call.left_out:
                metadata.append(("x-sidecar-left-out", names_within(self.call.left_out, LEFT_OUT_BYTES_MAX)))
        await self._context.send_initial_metadata(tuple(metadata))

    async def _write(self, data: bytes, content_type: str = "") -> None:
        """In pieces; the first message of an answer says its content type too (Envoy reads it there)."""
        if len(data) <= PIECE_BYTES_MAX:
            await write_within(self._context, HttpBody(content_type=content_type, data=data), self.write_s)
            return
        view = memoryview(data)
        for start in range(0, len(view), PIECE_BYTES_MAX):
            piece = bytes(view[start : start + PIECE_BYTES_MAX])
            message = HttpBody(content_type=content_type if start == 0 else "", data=piece)
            await write_within(self._context, message, self.write_s)


def names_within(names: Sequence[str], bytes_max: int) -> str:
    """The names with commas between them; from where they would be too long a count: "a, b, and 17 more"."""
    shown = ", ".join(names)
    kept = len(names)
    while len(shown) > bytes_max:
        kept -= 1
        shown = ", ".join((*names[:kept], f"and {len(names) - kept} more"))
    return shown
