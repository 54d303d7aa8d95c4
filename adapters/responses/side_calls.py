"""What OpenAI offers in addition to answers: counting a request's tokens, and compacting a conversation.

https://platform.openai.com/docs/api-reference/responses/input-tokens, .../responses/compact
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from adapters.contract import Context, Envelope, HttpCall, Target
from adapters.json_object import OBJECTS, Obj, of_answer
from adapters.responses.passing import patch_to, responses_url
from adapters.responses.provider_request import encode
from sidecar.v1 import inference_pb2 as pb

# Members that count; the API refuses others.
_COUNTED = frozenset({"model", "input", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning"})


def patch_count_for(target: Target) -> Callable[[Envelope], HttpCall]:
    return patch_to(target, _count_url(target))


def encode_count(request: pb.ChatRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    """Encodes a canonical request. Raises what `encode` raises."""
    call = encode(request, target, stream, context)
    members = {name: raw for name, raw in OBJECTS.decode(call.body).items() if name in _COUNTED}
    return call._replace(url=_count_url(target), body=msgspec.json.encode(members))


def decode_count(body: bytes, context: Context) -> int:
    """Returns the number of tokens. Raises upstream_protocol."""
    count = Obj(body, "", of_answer).integer("input_tokens")
    if count is None:
        raise of_answer("input_tokens", "a whole number")
    return count


def check_count(body: bytes) -> None:
    """Checks an answer that passes through. It is free, so there is no usage."""
    decode_count(body, Context(0, str))


def patch_compact_for(target: Target) -> Callable[[Envelope], HttpCall]:
    return patch_to(target, responses_url(target, "/compact"))


def _count_url(target: Target) -> str:
    return responses_url(target, "/input_tokens")
