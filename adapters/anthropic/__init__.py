"""Anthropic's Messages API, both sides: chat, unary and streamed (https://docs.anthropic.com/en/api/messages).

The client side reads callers of this API; the provider side talks to Anthropic. The version header comes from the
provider's row, or from the caller if its body passes through. What the format cannot express is refused by name,
according to `places`.
"""

from __future__ import annotations

from adapters.anthropic.count import check_count, decode_count, encode_count
from adapters.anthropic.decode import decode
from adapters.anthropic.encode import encode
from adapters.anthropic.error_body import encode_error, encode_error_event, status_of
from adapters.anthropic.failure import error
from adapters.anthropic.fit_request import fit_request
from adapters.anthropic.foreign import HINTS, foreign
from adapters.anthropic.passed_events import PassedEvents
from adapters.anthropic.passthrough import check, patch_count_for, patch_for
from adapters.anthropic.read_request import decode_request
from adapters.anthropic.stream import stream
from adapters.anthropic.write_answer import encode_answer, encode_response
from adapters.anthropic.write_stream import PING, MessageWriter
from adapters.contract import ClientSide, Format, ProviderSide, Task
from adapters.openai import open_plain_body

__all__ = ["FORMAT", "HINTS", "encode_error", "encode_error_event", "status_of"]

# Caller's headers that go to the provider: the version its body is written for, and the betas that it uses.
_HEADERS = ("anthropic-version", "anthropic-beta")


FORMAT = Format(
    name="anthropic",
    client={
        Task.CHAT: ClientSide(
            open_plain_body,
            decode_request,
            encode_response,
            None,
            writer=MessageWriter,
            whole=encode_answer,
            fit=fit_request,
            foreign=foreign,
            keepalive=PING,
            headers=_HEADERS,
            passing=PassedEvents,
        )
    },
    provider={
        Task.CHAT: ProviderSide(
            encode=encode,
            decode=decode,
            stream=stream,
            patch_for=patch_for,
            check=check,
            counting=ProviderSide(
                encode=encode_count, decode=decode_count, stream=None, patch_for=patch_count_for, check=check_count
            ),
        )
    },
    error=error,
    paths=("/messages",),
)
