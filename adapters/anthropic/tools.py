"""Encodes tools and tool choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from adapters.fit import Fit
from adapters.json_object import callers_object, merge_extra
from adapters.refusals import invalid
from sidecar.v1 import inference_pb2 as pb

_TOOL = frozenset({"name", "description", "input_schema", "strict"})
_CHOICES = (b'"auto"', b'"any"', b'"tool"', b'"none"')
_MODES = {
    pb.ToolChoice.MODE_NONE: "none",
    pb.ToolChoice.MODE_AUTO: "auto",
    pb.ToolChoice.MODE_REQUIRED: "any",
}


def tools(wanted: Sequence[pb.Tool], fit: Fit) -> list[Any]:
    """The `tools` member, ready for msgspec's encoder."""
    written = [_tool(tool, fit, f"tools[{number}]") for number, tool in enumerate(wanted)]
    return [tool for tool in written if tool is not None]


def tool_choice(request: pb.ChatRequest, fit: Fit) -> dict[str, Any]:
    """The `tool_choice` member; {} if nothing was requested. It includes whether calls may be parallel."""
    choice = _choice(request.tool_choice, fit) if request.HasField("tool_choice") else None
    if not request.HasField("parallel_tool_calls"):
        return {} if choice is None else {"tool_choice": choice}
    choice = {"type": "auto"} if choice is None else choice
    if choice.get("type") != "none":  # the API refuses the member then, and there is nothing to run in parallel
        if "disable_parallel_tool_use" in choice:
            raise invalid("parallel_tool_calls", "tool_choice sets it already")
        choice = {**choice, "disable_parallel_tool_use": not request.parallel_tool_calls}
    return {"tool_choice": choice}


def _tool(tool: pb.Tool, fit: Fit, at: str) -> Any | None:
    match tool.WhichOneof("kind"):
        case "function":
            return _function(tool, at)
        case "custom":
            fit.refuse(f"{at}.custom", "tools[].custom", "it only supports functions")
            return None
        case "other_json":
            members = callers_object(tool.other_json, f"{at}.other_json")
            if not tool.extra_json:
                return msgspec.Raw(tool.other_json.encode())
            return merge_extra(dict(members), tool.extra_json, at, frozenset())
        case _:
            raise invalid(at, "a tool must have exactly one kind")


def _function(tool: pb.Tool, at: str) -> dict[str, Any]:
    function = tool.function
    if not function.name:
        raise invalid(f"{at}.function.name", "a name is needed")
    fields: dict[str, Any] = {"name": function.name, "input_schema": _schema(function, at)}
    if function.HasField("description"):
        fields["description"] = function.description
    if function.HasField("strict"):
        fields["strict"] = function.strict
    merge_extra(fields, function.extra_json, f"{at}.function", _TOOL)
    return merge_extra(fields, tool.extra_json, at, _TOOL)


def _schema(function: pb.FunctionTool, at: str) -> Any:
    """The API requires a schema of type object; a function without parameters gets an empty one."""
    if not function.HasField("parameters_json"):
        return {"type": "object", "properties": {}}
    members = callers_object(function.parameters_json, f"{at}.function.parameters")
    if "type" in members:
        return msgspec.Raw(function.parameters_json.encode())
    return {"type": "object", **members}


def _choice(wanted: pb.ToolChoice, fit: Fit) -> dict[str, Any] | None:
    match wanted.WhichOneof("choice"):
        case "mode" if wanted.mode in _MODES:
            return {"type": _MODES[wanted.mode]}
        case "function_name":
            return {"type": "tool", "name": wanted.function_name}
        case "custom_name":
            fit.refuse("tool_choice.custom")
            return None
        case "other_json":
            choice = callers_object(wanted.other_json, "tool_choice")
            if bytes(choice.get("type", b"")) not in _CHOICES:  # such as OpenAI's allowed_tools
                kind = bytes(choice.get("type", b"")).decode("utf-8", "replace").strip('"')
                fit.refuse(f"tool_choice.{kind}", "tool_choice", "it supports the types auto, any, tool and none")
                return None
            return dict(choice)
        case _:
            raise invalid("tool_choice", "a mode or a tool's name is needed")
