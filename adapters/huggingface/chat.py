"""Text Generation Inference's Messages API: OpenAI's chat below /v1, while the configured address is the server's
root.

The one difference: a schema for the answer is in `value` (serde's tagged enum GrammarType in router/src/lib.rs).
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from adapters.allowed_tools import only_allowed
from adapters.contract import Context, HttpCall, ProviderSide, Target, Task
from adapters.copies import copied
from adapters.fit import Fit
from adapters.fit_request import fit_chat
from adapters.json_schema import described
from adapters.members import CHAT
from adapters.openai import FORMAT as OPENAI
from sidecar.v1 import inference_pb2 as pb

_CHAT = OPENAI.provider[Task.CHAT]
# The members of a request that it supports (`adapters.members`). It accepts those of the first line without effect.
PLACES = frozenset(CHAT) - {
    *("n", "logit_bias", "parallel_tool_calls"),
    *("response_format.json_object", "response_format.json_schema.name", "functions", "function_call"),
}


def root_of(target: Target) -> str:
    """The server's root; some configurations include a path below it."""
    base = target.base_url.rstrip("/")
    return base.removesuffix("/generate").removesuffix("/v1")


def below_v1(target: Target) -> Target:
    return replace(target, base_url=f"{root_of(target)}/v1")


def _encode(request: pb.ChatRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    fit = Fit(target)
    request = _with_grammar(only_allowed(fit_chat(request, PLACES, fit)), fit)
    call: HttpCall = _CHAT.encode(request, below_v1(target), stream, context)
    return call._replace(left_out=tuple(dict.fromkeys((*fit.left_out(), *call.left_out))))


def _with_grammar(request: pb.ChatRequest, fit: Fit) -> pb.ChatRequest:
    """Returns the request, or a copy whose response_format is in the server's terms."""
    wanted = request.response_format.WhichOneof("format")
    schema = request.response_format.json_schema
    if wanted not in ("json_object", "json_schema", "text"):
        return request
    out = copied(request)
    out.ClearField("response_format")
    if wanted == "json_schema" and schema.schema_json:
        made = msgspec.json.encode({"type": "json_object", "value": described(schema, fit)})
        out.response_format.other_json = made.decode("utf-8", "replace")
    elif wanted != "text":
        fit.refuse("response_format.json_object", why="it only answers in JSON with a schema")
    return out


SIDE = ProviderSide(encode=_encode, decode=_CHAT.decode, stream=_CHAT.stream)
