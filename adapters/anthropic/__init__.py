"""Anthropic's Messages API, provider side: chat, unary and streamed (https://docs.anthropic.com/en/api/messages).

The version header comes from the provider's row. What the format cannot say is refused by name; `refusals` has the table.
"""

from __future__ import annotations

from adapters.anthropic.decode import decode
from adapters.anthropic.encode import encode
from adapters.anthropic.failure import error
from adapters.anthropic.stream import stream
from adapters.contract import Format, ProviderSide, Task

FORMAT = Format(
    name="anthropic",
    client={},
    provider={Task.CHAT: ProviderSide(encode=encode, decode=decode, stream=stream)},
    error=error,
)
