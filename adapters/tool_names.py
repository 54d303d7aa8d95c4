"""Shortens names of tools that exceed what some providers accept.

Anthropic's callers may use 128 characters (as MCP servers do: `mcp__server__tool`), OpenAI and others accept 64. A
longer name is truncated and made unique by a hash: always the same for the same tool, so that histories and prompt
caches stay valid. Answers contain the caller's own name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from sidecar.v1 import inference_pb2 as pb

# The maximum length of a function's name at OpenAI.
NAME_CHARS_MAX = 64
_HASH_CHARS = 8
# A name in a body's `tools` that is too long, or seems so because of escapes.
_LONG = re.compile(rb'"name"\s{0,16}:\s{0,16}"[^"]{%d}' % (NAME_CHARS_MAX + 1))


def short_name(name: str) -> str:
    """Returns the name unchanged if it is short enough."""
    if len(name) <= NAME_CHARS_MAX:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARS]
    return name[: NAME_CHARS_MAX - _HASH_CHARS - 1] + "_" + digest


def has_long_names(tools: bytes) -> bool:
    """Whether one of a body's tools may have such a name."""
    return _LONG.search(tools) is not None


def own_names(names: Iterable[str]) -> dict[str, str]:
    """Short name -> the caller's, for those that are too long."""
    return {short_name(name): name for name in names if len(name) > NAME_CHARS_MAX}


def shorten(request: pb.ChatRequest) -> None:
    """Shortens the names of tools, of the tool choice and of calls in the history."""
    for tool in request.tools:
        if tool.WhichOneof("kind") == "function":
            tool.function.name = short_name(tool.function.name)
    choice = request.tool_choice
    if choice.WhichOneof("choice") == "function_name":
        choice.function_name = short_name(choice.function_name)
    for message in request.messages:
        for call in message.tool_calls:
            call.name = short_name(call.name)
