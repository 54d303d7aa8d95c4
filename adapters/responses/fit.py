"""What of a canonical request depends on the upstream: tools that take a text."""

from __future__ import annotations

import msgspec

from adapters.contract import Target
from adapters.responses.tool_names import INPUT, wrapped
from sidecar.v1 import inference_pb2 as pb

# Providers with custom tools.
_OPENAIS = frozenset({"openai", "azure"})
_FORM = "Its input is one text, as it is."


def fit_request(request: pb.ChatRequest, target: Target) -> pb.ChatRequest:
    """The request, or a copy of it."""
    if target.provider.name in _OPENAIS:
        return request
    out = pb.ChatRequest()
    out.CopyFrom(request)
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
    return out


def _function(custom: pb.CustomTool) -> pb.FunctionTool:
    """A function with one string. A grammar is an instruction to the model."""
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
