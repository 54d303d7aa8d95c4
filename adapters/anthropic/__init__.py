"""Anthropic's Messages API, provider side: chat, unary and streamed (https://docs.anthropic.com/en/api/messages).

The version header comes from the provider's row. What the format cannot say is refused by name; `_refusals` has the table.
"""

from __future__ import annotations

from adapters._contract import Format, ProviderSide, Task
from adapters.anthropic._decode import decode
from adapters.anthropic._encode import encode
from adapters.anthropic._failure import error
from adapters.anthropic._stream import stream

FORMAT = Format(
    name="anthropic",
    client={},
    provider={Task.CHAT: ProviderSide(encode=encode, decode=decode, stream=stream)},
    error=error,
)
