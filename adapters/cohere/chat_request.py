"""Canonical chat request -> the call of POST /v2/chat (https://docs.cohere.com/reference/chat)."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.cohere.messages import write_message
from adapters.cohere.tools import write_tools
from adapters.cohere.url import url_of
from adapters.contract import Context, HttpCall, Target
from adapters.echoes import ECHOES, Echoes, fit_history
from adapters.json_object import Obj, merge_extra, of_request, raw_json
from adapters.refusals import Unsupported, invalid, plain_fields, refuse, refuse_unsupported
from sidecar.v1 import inference_pb2 as pb

# (field, Cohere's name)
_PLAIN = (
    ("temperature", "temperature"),
    ("top_p", "p"),
    ("seed", "seed"),
    ("frequency_penalty", "frequency_penalty"),
    ("presence_penalty", "presence_penalty"),
    ("logprobs", "logprobs"),
)
# A value that asks for what the provider does anyway (n = 1, store = false) is honoured without a word.
REFUSED: Unsupported = (
    ("n", lambda r: r.HasField("n") and r.n != 1),
    ("logit_bias", lambda r: r.HasField("logit_bias_json")),
    ("top_logprobs", lambda r: r.top_logprobs != 0),
    ("modalities", lambda r: any(word != "text" for word in r.modalities)),
    ("audio", lambda r: r.HasField("audio")),
    ("prediction", lambda r: r.HasField("prediction_json")),
    ("store", lambda r: r.store),
    ("service_tier", lambda r: r.HasField("service_tier") and r.service_tier not in ("auto", "default")),
    ("verbosity", lambda r: r.HasField("verbosity")),
    ("metadata", lambda r: bool(r.metadata)),
    ("user", lambda r: r.HasField("user")),
    ("safety_identifier", lambda r: r.HasField("safety_identifier")),
    ("prompt_cache_key", lambda r: r.HasField("prompt_cache_key")),
    ("stream_options.include_obfuscation", lambda r: r.stream_options.include_obfuscation),
    ("stream_options.extra_json", lambda r: r.stream_options.extra_json != ""),
)
# Cohere thinks or does not; there are no levels between.
_THINKING = {"none": "disabled", "high": "enabled"}
# Members the canonical request has a field for; extra_json may not name them.
_OWNED = frozenset(
    {"model", "messages", "stream", "tools", "strict_tools", "tool_choice", "response_format", "stop_sequences"}
    | {"max_tokens", *(theirs for _, theirs in _PLAIN)}
)
_FORMAT = frozenset({"type", "json_schema"})
# It signs nothing: a thought is words, and one that somebody else signed is not its own. Citations go back as they came.
_ECHOES = Echoes(
    takes=lambda thought: bool(thought.text) and not (thought.signature or thought.redacted or thought.format),
    leaves=ECHOES - {"messages[].citations"},
    restores=True,
)


def encode(request: pb.ChatRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    """The call. Raises unsupported_parameter for what the format cannot express and invalid_request for what is malformed."""
    refuse_unsupported(request, target, REFUSED)
    if not request.messages:
        raise invalid("messages", "at least one is needed")
    request, left_out = fit_history(request, _ECHOES)
    messages = [write_message(message, target, f"messages[{i}]") for i, message in enumerate(request.messages)]
    body: dict[str, Any] = {"model": target.model, "messages": messages, "stream": stream}
    body |= write_tools(request, target) | plain_fields(request, _PLAIN) | max_tokens(request)
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if request.HasField("response_format"):
        body |= write_format(request.response_format, target, "json_schema")
    if request.HasField("reasoning_effort"):
        body |= _thinking(request.reasoning_effort, target)
    body = merge_extra(body, request.extra_json, "", _OWNED)
    return HttpCall(url_of(target, "/v2/chat"), msgspec.json.encode(body), left_out=left_out)


def max_tokens(request: pb.ChatRequest) -> dict[str, Any]:
    if request.HasField("max_tokens") and request.HasField("max_completion_tokens"):
        raise invalid("max_completion_tokens", "give either this or max_tokens")
    names = (("max_tokens", "max_tokens"), ("max_completion_tokens", "max_tokens"))
    return plain_fields(request, names)


def write_format(wanted: pb.ResponseFormat, target: Target, schema_name: str) -> dict[str, Any]:
    """`response_format`, {} for none. Neither a schema's name nor `strict` has a place: the API always follows the schema."""
    match wanted.WhichOneof("format"):
        case "text":
            made: Any = {"type": "text"}
        case "json_object":
            made = {"type": "json_object"}
        case "json_schema":
            made = _schema(wanted.json_schema, target, schema_name)
        case "other_json":
            Obj(wanted.other_json.encode("utf-8", "surrogatepass"), "response_format", of_request)
            made = raw_json(wanted.other_json, "response_format")
        case _:
            raise invalid("response_format", "a type is needed")
    return {"response_format": made}


def _schema(wanted: pb.JsonSchemaFormat, target: Target, schema_name: str) -> dict[str, Any]:
    if wanted.HasField("description"):
        refuse(target, "response_format.json_schema.description", "response_format")
    made: dict[str, Any] = {"type": "json_object"}
    if wanted.HasField("schema_json"):
        made[schema_name] = raw_json(wanted.schema_json, "response_format.json_schema.schema")
    return merge_extra(made, wanted.extra_json, "response_format.json_schema", _FORMAT)


def _thinking(effort: str, target: Target) -> dict[str, Any]:
    if effort in _THINKING:
        return {"thinking": {"type": _THINKING[effort]}}
    refuse(target, "reasoning_effort", why="it knows none and high; a token_budget can stand in the member thinking")
    return {}
