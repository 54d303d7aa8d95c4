"""`response_format: {"type": "json_object"}` at an API whose own form of answer wants a closed schema.

The documentation's way to JSON is a tool that the model must call (https://docs.anthropic.com/en/docs/build-with-claude/tool-use,
"JSON mode"): a call's input is always one JSON object. So the request gets a tool that takes any object, the answer's call of it
becomes the text, and "tool_use" becomes `stop`. With tools of the caller's own the model must call one of them or this one, and
one only, so that the answer is never two objects in a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from adapters.anthropic.tools import tool_choice, tools
from adapters.fit import Fit
from adapters.json_object import MALFORMED
from adapters.refusals import invalid
from adapters.thoughts import opened
from sidecar.v1 import inference_pb2 as pb

# The gateway's own, so that an answer can be told from a call of the caller's tools.
TOOL_NAME = "gateway_json_object"
_TOOL = {
    "name": TOOL_NAME,
    "description": "Gives the answer. Its input is the whole answer: one JSON object with the members that were asked for.",
    "input_schema": {"type": "object", "additionalProperties": True},
}
_FORCED = ("any", "tool")


def tools_and_choice(request: pb.ChatRequest, fit: Fit, extra: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    """The members `tools` and `tool_choice`. Raises unsupported_parameter where an object was asked for and cannot be had:
    a model that thinks cannot be made to call a tool."""
    for number, tool in enumerate(request.tools):
        if tool.function.name == TOOL_NAME:
            raise invalid(f"tools[{number}].function.name", "the gateway itself has a tool of this name")
    written = tools(request.tools, fit) if request.tools else []
    chosen = tool_choice(request, fit)
    kind = _kind(chosen)
    # A call that must be made is the answer, and has no text.
    if request.response_format.WhichOneof("format") == "json_object" and kind not in _FORCED:
        if _thinks(extra):
            why = "while Claude thinks, it answers in JSON only by a schema (json_schema)"
            fit.refuse("response_format.json_object", why=why)
        free = bool(written) and kind != "none"
        forced = {"type": "any"} if free else {"type": "tool", "name": TOOL_NAME}
        written = [*written, _TOOL]
        chosen = {"tool_choice": {**forced, "disable_parallel_tool_use": True}}
    return ({"tools": written} if written else {}) | chosen


def _thinks(extra: Mapping[str, msgspec.Raw]) -> bool:
    raw = extra.get("thinking")
    return raw is not None and bytes(opened(raw).get("type", b'"disabled"')) != b'"disabled"'


def _kind(chosen: Mapping[str, Any]) -> str:
    """Of a tool_choice, which may be in the caller's own words."""
    kind = chosen.get("tool_choice", {}).get("type", "auto")
    if isinstance(kind, str):
        return kind
    try:
        return str(msgspec.json.decode(bytes(kind)))
    except MALFORMED:
        return ""
