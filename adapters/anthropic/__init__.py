"""Anthropic's Messages API, both sides: chat, unary and streamed (https://docs.anthropic.com/en/api/messages).

The client side reads callers who speak it; the provider side talks to Anthropic. The version header comes from the provider's
row, or from the caller where its body passes. What the format cannot say is refused by name; `refusals` has the table.
"""

from __future__ import annotations

from typing import NoReturn

from adapters.anthropic.decode import decode
from adapters.anthropic.encode import encode
from adapters.anthropic.error_body import encode_error, encode_error_event, status_of
from adapters.anthropic.failure import error
from adapters.anthropic.passthrough import check, open_body, patch
from adapters.anthropic.stream import stream
from adapters.contract import ClientSide, Format, ProviderSide, Task
from adapters.errors import GatewayError, Kind

__all__ = ["FORMAT", "encode_error", "encode_error_event", "status_of"]

# What goes from the caller to the provider: the version its body is written for, and the betas that it uses.
_HEADERS = ("anthropic-version", "anthropic-beta")
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'


def _untranslated(*_: object) -> NoReturn:
    """Of callers who speak this format and upstreams that do not."""
    text = "This route's provider does not speak Anthropic's Messages format. Call it at /v1/chat/completions."
    raise GatewayError(Kind.INVALID_REQUEST, text, param="model")


FORMAT = Format(
    name="anthropic",
    client={
        Task.CHAT: ClientSide(
            open_body, _untranslated, _untranslated, None, writer=_untranslated, keepalive=_PING, headers=_HEADERS
        )
    },
    provider={Task.CHAT: ProviderSide(encode=encode, decode=decode, stream=stream, patch=patch, check=check)},
    error=error,
    paths=("/messages",),
)
