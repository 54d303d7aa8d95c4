"""Text Generation Inference's Messages API: OpenAI's chat below /v1, while the configured address is the server's root.

It differs in one thing: a schema for the answer stands in `value` (serde's tagged enum GrammarType of router/src/lib.rs).
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from adapters.contract import Context, HttpCall, ProviderSide, Target, Task
from adapters.json_object import raw_json
from adapters.openai import FORMAT as OPENAI
from adapters.refusals import Unsupported, refuse, refuse_unsupported
from sidecar.v1 import inference_pb2 as pb

_CHAT = OPENAI.provider[Task.CHAT]
# The server reads these and does nothing about them.
_REFUSED: Unsupported = (
    ("n", lambda r: r.HasField("n") and r.n != 1),
    ("logit_bias", lambda r: r.HasField("logit_bias_json")),
    ("parallel_tool_calls", lambda r: r.HasField("parallel_tool_calls") and not r.parallel_tool_calls),
)


def root_of(target: Target) -> str:
    """The server's own address: some configurations name a path below it."""
    base = target.base_url.rstrip("/")
    return base.removesuffix("/generate").removesuffix("/v1")


def below_v1(target: Target) -> Target:
    return replace(target, base_url=f"{root_of(target)}/v1")


def _encode(request: pb.ChatRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    refuse_unsupported(request, target, _REFUSED)
    call: HttpCall = _CHAT.encode(_with_grammar(request, target), below_v1(target), stream, context)
    return call


def _with_grammar(request: pb.ChatRequest, target: Target) -> pb.ChatRequest:
    """The request itself, or a copy whose response_format is in the server's words."""
    wanted = request.response_format.WhichOneof("format")
    schema = request.response_format.json_schema
    if wanted not in ("json_object", "json_schema", "text"):
        return request
    out = pb.ChatRequest()
    out.CopyFrom(request)
    out.ClearField("response_format")
    if wanted == "json_schema" and schema.schema_json:
        value = raw_json(schema.schema_json, "response_format.json_schema.schema")
        made = msgspec.json.encode({"type": "json_object", "value": value})
        out.response_format.other_json = made.decode("utf-8", "replace")
    elif wanted != "text":
        refuse(target, "response_format", why="it answers in JSON only by a schema")
    return out


SIDE = ProviderSide(encode=_encode, decode=_CHAT.decode, stream=_CHAT.stream)
