"""Encodes a canonical chat request as a call of POST /v2/chat (https://docs.cohere.com/reference/chat)."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.allowed_tools import only_allowed
from adapters.cohere.messages import is_empty_turn, write_message
from adapters.cohere.places import PLACES
from adapters.cohere.tools import write_tools
from adapters.cohere.url import url_of
from adapters.contract import Context, HttpCall, Target
from adapters.echo_names import ECHOES, Known
from adapters.echoes import Echoes, fit_history
from adapters.fit import Fit
from adapters.fit_request import fit_chat
from adapters.function_calls import functions_as_tools
from adapters.json_object import Obj, merge_extra, of_request, raw_json
from adapters.json_schema import described
from adapters.refusals import invalid, plain_fields
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
# Cohere either thinks or does not, and decides itself by default; there are no levels.
_THINKING = {"none": "disabled", "minimal": "disabled", "high": "enabled", "xhigh": "enabled", "max": "enabled"}
# Members with a canonical field, which extra_json must not name.
_OWNED = frozenset(
    {"model", "messages", "stream", "tools", "strict_tools", "tool_choice", "response_format", "stop_sequences"}
    | {"max_tokens", *(theirs for _, theirs in _PLAIN)}
)
_FORMAT = frozenset({"type", "json_schema"})
# Cohere signs nothing: a thought is text, and one that another provider signed is not its own. Citations are sent
# back unchanged.
_ECHOES = Echoes(
    takes=lambda thought: bool(thought.text) and not (thought.signature or thought.redacted or thought.format),
    leaves=ECHOES - {"messages[].citations"},
    restores=True,
    knows=Known(frozenset({"citations", "tool_plan"})),
)


def encode(request: pb.ChatRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    """Raises unsupported_parameter for what the format cannot express, and invalid_request for what is malformed."""
    fit = Fit(target)
    if not request.messages:
        raise invalid("messages", "at least one is needed")
    request = fit_history(functions_as_tools(only_allowed(fit_chat(request, PLACES, fit))), _ECHOES, fit)
    written = [write_message(message, fit, f"messages[{i}]") for i, message in enumerate(request.messages)]
    messages = [each for each in written if not is_empty_turn(each)]
    body: dict[str, Any] = {"model": target.model, "messages": messages, "stream": stream}
    body |= write_tools(request, fit) | plain_fields(request, _PLAIN) | max_tokens(request)
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if request.HasField("response_format"):
        body |= write_format(request.response_format, fit, "json_schema")
    if request.HasField("reasoning_effort"):
        body |= _thinking(request.reasoning_effort, fit)
    body = merge_extra(body, request.extra_json, "", _OWNED)
    return HttpCall(url_of(target, "/v2/chat"), msgspec.json.encode(body), left_out=fit.left_out())


def max_tokens(request: pb.ChatRequest) -> dict[str, Any]:
    if request.HasField("max_tokens") and request.HasField("max_completion_tokens"):
        raise invalid("max_completion_tokens", "give either this or max_tokens")
    names = (("max_tokens", "max_tokens"), ("max_completion_tokens", "max_tokens"))
    return plain_fields(request, names)


def write_format(wanted: pb.ResponseFormat, fit: Fit, schema_name: str) -> dict[str, Any]:
    """`response_format`; {} for none. `strict` does not exist: the API always follows the schema."""
    match wanted.WhichOneof("format"):
        case "text":
            made: Any = {"type": "text"}
        case "json_object":
            made = {"type": "json_object"}
        case "json_schema":
            made = _schema(wanted.json_schema, fit, schema_name)
        case "other_json":
            Obj(wanted.other_json.encode("utf-8", "surrogatepass"), "response_format", of_request)
            made = raw_json(wanted.other_json, "response_format")
        case _:
            raise invalid("response_format", "a type is needed")
    return {"response_format": made}


def _schema(wanted: pb.JsonSchemaFormat, fit: Fit, schema_name: str) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "json_object"}
    if wanted.HasField("schema_json"):
        made[schema_name] = described(wanted, fit)
    elif wanted.description:
        fit.leave_out("response_format.json_schema.description")
    return merge_extra(made, wanted.extra_json, "response_format.json_schema", _FORMAT)


def _thinking(effort: str, fit: Fit) -> dict[str, Any]:
    if effort in _THINKING:
        return {"thinking": {"type": _THINKING[effort]}}
    if effort == "medium":
        fit.leave_out("reasoning_effort")
    else:
        fit.refuse("reasoning_effort", why="it supports none and high; set a token_budget in the member thinking")
    return {}
