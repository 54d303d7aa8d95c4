"""Counts the tokens of a request through Anthropic's API (POST /v1/messages/count_tokens), for callers of any
format."""

from __future__ import annotations

import msgspec

from adapters.anthropic.encode import encode
from adapters.anthropic.url import messages_url
from adapters.contract import Context, HttpCall, Target
from adapters.json_object import OBJECTS, Obj, of_answer
from sidecar.v1 import inference_pb2 as pb

# Members that count; the API refuses others, such as max_tokens.
_COUNTED = frozenset({"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"})


def count_url(target: Target) -> str:
    return f"{messages_url(target)}/count_tokens"


def encode_count(request: pb.ChatRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    """Encodes a canonical request. Raises what `encode` raises."""
    call = encode(request, target, stream, context)
    members = {name: raw for name, raw in OBJECTS.decode(call.body).items() if name in _COUNTED}
    return call._replace(url=count_url(target), body=msgspec.json.encode(members))


def decode_count(body: bytes, context: Context) -> int:
    """Returns the number of tokens. Raises upstream_protocol."""
    count = Obj(body, "", of_answer).integer("input_tokens")
    if count is None:
        raise of_answer("input_tokens", "a whole number")
    return count


def check_count(body: bytes) -> None:
    """Checks an answer that passes through. It is free, so there is no usage."""
    decode_count(body, Context(0, str))
