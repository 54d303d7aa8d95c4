"""How many tokens a request has, by Anthropic's own count (POST /v1/messages/count_tokens), for callers of every format."""

from __future__ import annotations

import msgspec

from adapters.anthropic.encode import encode
from adapters.anthropic.url import messages_url
from adapters.contract import Context, HttpCall, Target
from adapters.json_object import OBJECTS, Obj, of_answer
from sidecar.v1 import inference_pb2 as pb

# The API refuses what does not count, such as max_tokens.
_COUNTED = frozenset({"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"})


def count_url(target: Target) -> str:
    return f"{messages_url(target)}/count_tokens"


def encode_count(request: pb.ChatRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    """The call, of a canonical request. Raises as `encode` does."""
    call = encode(request, target, stream, context)
    members = {name: raw for name, raw in OBJECTS.decode(call.body).items() if name in _COUNTED}
    return call._replace(url=count_url(target), body=msgspec.json.encode(members))


def decode_count(body: bytes, context: Context) -> int:
    """The answer's number. Raises upstream_protocol."""
    count = Obj(body, "", of_answer).integer("input_tokens")
    if count is None:
        raise of_answer("input_tokens", "a whole number")
    return count


def check_count(body: bytes) -> None:
    """An answer that passes. It costs nothing, and has no usage."""
    decode_count(body, Context(0, str))
