"""Encodes tools and tool choice for /v2/chat."""

from __future__ import annotations

from typing import Any

from adapters.fit import Fit
from adapters.json_object import Obj, merge_extra, of_request, raw_json
from adapters.refusals import invalid
from sidecar.v1 import inference_pb2 as pb

_TOOL = frozenset({"type", "function"})
_FUNCTION = frozenset({"name", "description", "parameters"})


def write_tools(request: pb.ChatRequest, fit: Fit) -> dict[str, Any]:
    """The members `tools`, `strict_tools` and `tool_choice`, as far as they were requested."""
    made = [_tool(tool, fit, f"tools[{i}]") for i, tool in enumerate(request.tools)]
    tools = [tool for tool in made if tool is not None]
    out: dict[str, Any] = {"tools": tools} if tools else {}
    return out | _strict(request, fit) | _choice(request, fit)


def _tool(tool: pb.Tool, fit: Fit, at: str) -> Any | None:
    match tool.WhichOneof("kind"):
        case "function":
            fields = {"type": "function", "function": _function(tool.function, at)}
            return merge_extra(fields, tool.extra_json, at, _TOOL)
        case "custom":
            fit.refuse(f"{at}.custom", "tools[].custom", "it only supports functions")
            return None
        case "other_json":
            members = Obj(tool.other_json.encode("utf-8", "surrogatepass"), f"{at}.other_json", of_request).members
            if not tool.extra_json:
                return raw_json(tool.other_json, f"{at}.other_json")
            return merge_extra(dict(members), tool.extra_json, at, frozenset())
        case _:
            raise invalid(at, "a tool must have exactly one kind")


def _function(function: pb.FunctionTool, at: str) -> dict[str, Any]:
    if not function.name:
        raise invalid(f"{at}.function.name", "a name is needed")
    fields: dict[str, Any] = {"name": function.name}
    if function.HasField("description"):
        fields["description"] = function.description
    if function.HasField("parameters_json"):
        fields["parameters"] = raw_json(function.parameters_json, f"{at}.function.parameters")
    else:  # the API requires a schema; this is that of a function without parameters
        fields["parameters"] = {"type": "object", "properties": {}}
    return merge_extra(fields, function.extra_json, f"{at}.function", _FUNCTION)


def _strict(request: pb.ChatRequest, fit: Fit) -> dict[str, Any]:
    """The API has one setting for all tools. A function without the flag counts as `false`."""
    functions = [tool.function for tool in request.tools if tool.HasField("function")]
    if not any(function.HasField("strict") for function in functions):
        return {}
    flags = {function.strict for function in functions}
    if len(flags) > 1:
        fit.refuse("tools[].function.strict", why="it supports strict for all tools or for none")
        return {}
    return {"strict_tools": flags.pop()}


def _choice(request: pb.ChatRequest, fit: Fit) -> dict[str, Any]:
    """Without the member, the model decides. A specific tool can be requested if it is the only one."""
    if not request.HasField("tool_choice"):
        return {}
    choice = request.tool_choice
    match choice.WhichOneof("choice"):
        case "mode" if choice.mode == pb.ToolChoice.MODE_AUTO:
            return {}
        case "mode" if choice.mode == pb.ToolChoice.MODE_NONE:
            return {"tool_choice": "NONE"}
        case "mode" if choice.mode == pb.ToolChoice.MODE_REQUIRED:
            return {"tool_choice": "REQUIRED"}
        case "function_name":
            if [tool.function.name for tool in request.tools] == [choice.function_name]:
                return {"tool_choice": "REQUIRED"}
            fit.refuse("tool_choice.function", "tool_choice", "it cannot select one of several tools")
            return {}
        case "custom_name":
            fit.refuse("tool_choice.custom", why="it only supports functions")
            return {}
        case "other_json":
            fit.refuse("tool_choice", why="it only supports NONE and REQUIRED")
            return {}
        case _:
            raise invalid("tool_choice", "a mode or a tool's name is needed")
