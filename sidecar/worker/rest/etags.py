"""`ETag` and `If-Match` of routes and limits (RFC 9110): a change is made only if the version that it builds on still holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from adapters import GatewayError, Kind
from sidecar.transport.caller import Context
from sidecar.worker.rest.json import written
from sidecar.worker.rest.reply import JSON, Reply

_IF_MATCH = "if-match"
# A proxy that compresses answers makes versions weak, `W/"..."`; the document that such a one names is the same.
_ETAG = re.compile(r'(?:W/)?"([^",]*)"')
_ANY = "*"


def etags_of(context: Context) -> tuple[str, ...]:
    """Those of `If-Match`, one of which must be the version; none where the caller names no version, or any (`*`). Raises
    invalid_request for what is no list of them."""
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
    """A JSON answer with its version; a route of the config file has none."""
    await reply.file(JSON, written(value), [("etag", f'"{version}"')] if version else [])
