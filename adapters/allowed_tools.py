"""Translates OpenAI's `allowed_tools` for formats without such a choice: sends only the tools that it names, with
its mode as the choice.

The model can then call the same tools as at OpenAI. The difference is in caching: OpenAI's choice leaves the list of
tools unchanged so that prompts stay cached, while a shorter list is a different prefix.
"""

from __future__ import annotations

from adapters.copies import copied
from adapters.json_object import Obj, of_request
from adapters.refusals import invalid
from sidecar.v1 import inference_pb2 as pb

_MODES = {"auto": pb.ToolChoice.MODE_AUTO, "required": pb.ToolChoice.MODE_REQUIRED}


def only_allowed(request: pb.ChatRequest) -> pb.ChatRequest:
    """Returns the request, or a copy with only the allowed tools. Raises invalid_request, naming the malformed
    member."""
    if request.tool_choice.WhichOneof("choice") != "other_json":
        return request
    choice = Obj(request.tool_choice.other_json.encode(), "tool_choice", of_request)
    if choice.string("type") != "allowed_tools":
        return request
    allowed = choice.object("allowed_tools")
    if allowed is None:
        raise of_request("tool_choice.allowed_tools", "an object")
    mode, names = allowed.string("mode") or "auto", _names(allowed)
    if mode not in _MODES:
        raise of_request("tool_choice.allowed_tools.mode", "one of auto, required")
    kept = [tool for tool in request.tools if _name(tool) in names]
    made = copied(request)
    if kept:
        made.tool_choice.mode = _MODES[mode]
        made.ClearField("tools")
        made.tools.extend(kept)
    elif mode == "auto":
        made.tool_choice.mode = pb.ToolChoice.MODE_NONE  # keep all tools, since a history with calls needs them
    else:
        raise invalid(
            "tool_choice.allowed_tools.tools", "a call is required, but none of the allowed tools is in 'tools'"
        )
    return made


def _names(allowed: Obj) -> frozenset[str | None]:
    found = set()
    for tool in allowed.objects("tools"):
        kind = tool.string("type") or ""
        inner = tool.object(kind) if kind in ("function", "custom") else None
        if inner is not None:
            found.add(inner.string("name"))
    return frozenset(found - {None})


def _name(tool: pb.Tool) -> str:
    return tool.custom.name if tool.WhichOneof("kind") == "custom" else tool.function.name
