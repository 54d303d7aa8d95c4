"""Adapts a canonical request to the upstream: custom tools, and the amount of thinking and text."""

from __future__ import annotations

import msgspec

from adapters.contract import Target
from adapters.copies import copied, extend
from adapters.responses.tool_names import INPUT, wrapped
from adapters.tool_results import have_media, with_media_behind
from sidecar.v1 import inference_pb2 as pb

# Providers with custom tools.
_OPENAIS = frozenset({"openai", "azure"})
# Formats that accept images in tool results. (So does OpenAI's Responses API, where the caller's bytes pass
# through.)
_MEDIA_IN_RESULTS = frozenset({"anthropic"})
_FORM = "Its input is plain text."


# The levels of thinking that a format supports; all others support none.
_EFFORTS = {
    "anthropic": frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"}),
    "cohere": frozenset({"none", "medium", "high"}),
}
_NO_EFFORTS = frozenset({"none", "medium"})


def leaves(request: pb.ChatRequest, target: Target) -> tuple[str, ...]:
    """What is left out for this upstream. Agents send both members by default, depending on the model's name or
    always: they count as hints here, like the thinking budget of the Messages API."""
    names = []
    if request.HasField("verbosity") and not _passes(target, "verbosity"):
        names.append("verbosity")
    if request.HasField("reasoning_effort") and not _takes_effort(target, request.reasoning_effort):
        names.append("reasoning_effort")
    return tuple(names)


def _passes(target: Target, name: str) -> bool:
    """OpenAI's members are sent to providers of its format, which refuse unknown ones in their own words."""
    return target.provider.format == "openai" and name not in target.provider.leaves


def _takes_effort(target: Target, effort: str) -> bool:
    words = _EFFORTS.get(target.provider.format, _NO_EFFORTS)
    return _passes(target, "reasoning_effort") or effort in words


def fit_request(request: pb.ChatRequest, target: Target) -> pb.ChatRequest:
    """Returns the request, or a copy."""
    moves = target.provider.format not in _MEDIA_IN_RESULTS and have_media(request.messages)
    openais = target.provider.name in _OPENAIS
    if openais and not moves:
        return request
    out = copied(request)
    if moves:
        messages = with_media_behind(out.messages)
        del out.messages[:]
        extend(out.messages, messages)
    if not openais:
        _fit_members(out, target)
    return out


def _fit_members(out: pb.ChatRequest, target: Target) -> None:
    for name in leaves(out, target):
        out.ClearField(name)
    for tool in out.tools:
        if tool.WhichOneof("kind") == "custom":
            tool.function.CopyFrom(_function(tool.custom))
    if out.tool_choice.WhichOneof("choice") == "custom_name":
        out.tool_choice.function_name = out.tool_choice.custom_name
    for message in out.messages:
        for call in message.tool_calls:
            if call.HasField("custom_input"):
                call.arguments_json = wrapped(call.custom_input)
                call.ClearField("custom_input")


def _function(custom: pb.CustomTool) -> pb.FunctionTool:
    """A function with one string. A grammar becomes an instruction for the model."""
    text = {"type": "string", "description": _FORM}
    schema = {"type": "object", "properties": {INPUT: text}, "required": [INPUT], "additionalProperties": False}
    words = [custom.description] if custom.description else []
    if custom.format_json and (grammar := _grammar(custom.format_json)):
        words.append(grammar)
    return pb.FunctionTool(
        name=custom.name,
        description="\n\n".join(words),
        parameters_json=msgspec.json.encode(schema).decode(),
    )


def _grammar(form: str) -> str:
    rule = msgspec.json.decode(form).get("grammar", {})
    return f"The input must follow this {rule.get('syntax', '')} grammar:\n{rule.get('definition', '')}"
