"""`ETag` and `If-Match` of routes and limits (RFC 9110): a change is only made if the version that it is based on
is current."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from adapters import GatewayError, Kind
from sidecar.transport.caller import Context
from sidecar.worker.rest.json import written
from sidecar.worker.rest.reply import JSON, Reply

_IF_MATCH = "if-match"
# A proxy that compresses answers turns versions into weak ones, `W/"..."`, which refer to the same document.
_ETAG = re.compile(r'(?:W/)?"([^",]*)"')
_ANY = "*"


def etags_of(context: Context) -> tuple[str, ...]:
    """The versions in `If-Match`, one of which must be current; none if the caller sends no version, or any (`*`).
    Raises invalid_request for a malformed list."""
    values = [value for key, value in context.invocation_metadata() or () if key == _IF_MATCH]
    text = ",".join(str(value) for value in values)
    if not values or text.strip() == _ANY:
        return ()
    found = [_ETAG.fullmatch(each.strip()) for each in text.split(",")]
    if not all(found):
        words = 'If-Match must be the ETag of an answer, in quotation marks: "0123456789abcdef".'
        raise GatewayError(Kind.INVALID_REQUEST, words, param="If-Match")
    return tuple(each[1] for each in found if each is not None)


async def versioned(reply: Reply, value: Mapping[str, Any], version: str) -> None:
    """Sends JSON with its version; a route of the config file has none."""
    await reply.file(JSON, written(value), [("etag", f'"{version}"')] if version else [])
