"""Encodes a canonical chat request as a call of POST /v1/messages."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from adapters.allowed_tools import only_allowed
from adapters.anthropic.json_answer import tools_and_choice
from adapters.anthropic.limits import output_tokens_max
from adapters.anthropic.lost_thoughts import is_manual, thoughts_are_lost
from adapters.anthropic.places import PLACES
from adapters.anthropic.thinking import goes_back
from adapters.anthropic.turns import system_and_turns
from adapters.anthropic.url import messages_url
from adapters.anthropic.version import fit_sampling
from adapters.contract import Context, HttpCall, Target
from adapters.echo_names import ECHOES, Known
from adapters.echoes import Echoes, fit_history
from adapters.fit import Fit
from adapters.fit_request import fit_chat
from adapters.function_calls import functions_as_tools
from adapters.json_object import callers_object, merge, merge_extra
from adapters.json_schema import described
from adapters.refusals import invalid
from sidecar.v1 import inference_pb2 as pb

# Members with a canonical field, which extra_json must not name. output_config is shared: see _output_config.
_OWNED = frozenset(
    {"model", "messages", "system", "max_tokens", "stream", "tools", "tool_choice", "stop_sequences"}
    | {"temperature", "top_p", "metadata", "service_tier"}
)
# OpenAI's word -> Anthropic's. OpenAI's "default" requests its standard tier.
_SERVICE_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
# The API refuses unknown members of a message, and reasoning that it did not sign.
_KNOWN = Known(frozenset({"cache_control"}), frozenset({"cache_control", "caller"}), frozenset({"cache_control"}))
_ECHOES = Echoes(
    takes=goes_back, leaves=ECHOES - {"messages[].tool_calls[].caller"}, restores=True, knows=_KNOWN, claudes=True
)
_EFFORTS = {effort: effort for effort in ("low", "medium", "high", "xhigh", "max")} | {"minimal": "low"}


def encode(request: pb.ChatRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    """Raises unsupported_parameter for what the format cannot express, and invalid_request for what is malformed."""
    fit = Fit(target)
    request = fit_history(functions_as_tools(only_allowed(fit_chat(request, PLACES, fit))), _ECHOES, fit)
    system, turns = system_and_turns(request.messages, fit)
    body: dict[str, Any] = {"model": target.model, "max_tokens": _max_tokens(request, target), "messages": turns}
    if system is not None:
        body["system"] = system
    if stream:
        body["stream"] = True
    extra = callers_object(request.extra_json, "extra_json") if request.extra_json else {}
    body |= tools_and_choice(request, fit, extra)
    body |= _sampling(request, extra, fit) | _metadata(request, fit) | _service_tier(request, fit)
    body |= _output_config(request, fit, extra.pop("output_config", None))
    if request.reasoning_effort == "none":
        body["thinking"] = {"type": "disabled"}
    elif "thinking" in extra and is_manual(extra["thinking"]) and thoughts_are_lost(turns):
        del extra["thinking"]
        fit.leave_out("thinking")
    body = merge_extra(body, msgspec.json.encode(extra).decode(), "", _OWNED)
    return HttpCall(messages_url(target), msgspec.json.encode(body), left_out=fit.left_out())


def _max_tokens(request: pb.ChatRequest, target: Target) -> int:
    if request.HasField("max_tokens") and request.HasField("max_completion_tokens"):
        raise invalid("max_completion_tokens", "give either this or max_tokens")
    if request.HasField("max_tokens"):
        return request.max_tokens
    if request.HasField("max_completion_tokens"):
        return request.max_completion_tokens
    return int(target.options.get("default_max_tokens") or output_tokens_max(target.model))


def _sampling(request: pb.ChatRequest, extra: dict[str, msgspec.Raw], fit: Fit) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name in ("temperature", "top_p"):
        if request.HasField(name):
            value = getattr(request, name)
            if not math.isfinite(value):
                raise invalid(name, "must be a finite number")
            fields[name] = value
    fit_sampling(fields, extra, fit)
    if sequences := [stop for stop in request.stop if stop]:
        fields["stop_sequences"] = sequences
    elif request.stop:
        fit.leave_out("stop")
    return fields


def _metadata(request: pb.ChatRequest, fit: Fit) -> dict[str, Any]:
    """The API accepts one label, the end user's id; if a request has several, the most specific one is used."""
    names = {
        "metadata": request.metadata.get("user_id"),
        "safety_identifier": request.safety_identifier if request.HasField("safety_identifier") else None,
        "user": request.user if request.HasField("user") else None,
    }
    given = {member: name for member, name in names.items() if name is not None}
    chosen = next(iter(given.values()), None)
    if len(request.metadata) > ("metadata" in given):
        fit.leave_out("metadata")
    fit.leave_out(*(member for member, name in given.items() if name != chosen))
    return {} if chosen is None else {"metadata": {"user_id": chosen}}


def _service_tier(request: pb.ChatRequest, fit: Fit) -> dict[str, Any]:
    if not request.HasField("service_tier"):
        return {}
    if request.service_tier in _SERVICE_TIERS:
        return {"service_tier": _SERVICE_TIERS[request.service_tier]}
    fit.refuse("service_tier", why=f"there is no tier {request.service_tier!r}")
    return {}


def _output_config(request: pb.ChatRequest, fit: Fit, extra: msgspec.Raw | None) -> dict[str, Any]:
    """Effort and answer format; extra_json may add further members (task_budget) to the same object."""
    config: dict[str, Any] = {}
    if request.HasField("reasoning_effort") and request.reasoning_effort != "none":
        if request.reasoning_effort in _EFFORTS:
            config["effort"] = _EFFORTS[request.reasoning_effort]
        else:
            fit.refuse("reasoning_effort", why=f"there is no effort {request.reasoning_effort!r}")
    if request.HasField("response_format"):
        config |= _format(request.response_format, fit)
    if extra is not None:
        config = merge(config, bytes(extra).decode(), "output_config", frozenset())
    return {"output_config": config} if config or extra is not None else {}


def _format(wanted: pb.ResponseFormat, fit: Fit) -> dict[str, Any]:
    """`strict` does not exist here: the API always follows the schema."""
    match wanted.WhichOneof("format"):
        case "json_schema":
            schema = wanted.json_schema
            if not schema.schema_json:
                raise invalid("response_format.json_schema.schema", "a schema is needed")
            fields = {"type": "json_schema", "schema": described(schema, fit)}
            path = "response_format.json_schema"
            return {"format": merge_extra(fields, schema.extra_json, path, frozenset(fields))}
        case "other_json":
            callers_object(wanted.other_json, "response_format")
            return {"format": msgspec.Raw(wanted.other_json.encode())}
        case "text" | "json_object":  # json_object through a tool: json_answer
            return {}
        case _:
            raise invalid("response_format", "a type is needed")
