"""`response_format: {"type": "json_object"}` for an API whose own structured output requires a closed schema.

The documented way to get JSON is a tool that the model must call
(https://docs.anthropic.com/en/docs/build-with-claude/tool-use, "JSON mode"), because the input of a call is always
one JSON object. So the request gets a tool that accepts any object, its call becomes the text of the answer, and
"tool_use" becomes `stop`. If the caller has tools as well, the model must call exactly one of them or this one, so
that the answer is never two objects in a row.
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

# The gateway's own tool, with a name that tells it apart from the caller's tools.
TOOL_NAME = "gateway_json_object"
_TOOL = {
    "name": TOOL_NAME,
    "description": "Gives the answer. Its input is the whole answer: one JSON object with the members that were asked for.",
    "input_schema": {"type": "object", "additionalProperties": True},
}
_FORCED = ("any", "tool")


def tools_and_choice(request: pb.ChatRequest, fit: Fit, extra: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    """Returns the members `tools` and `tool_choice`. Raises unsupported_parameter if an object was requested and is
    impossible: a thinking model cannot be forced to call a tool."""
    for number, tool in enumerate(request.tools):
        if tool.function.name == TOOL_NAME:
            raise invalid(f"tools[{number}].function.name", "the gateway reserves this tool name")
    written = tools(request.tools, fit) if request.tools else []
    chosen = tool_choice(request, fit)
    kind = _kind(chosen)
    # A required call is the answer, and has no text.
    if request.response_format.WhichOneof("format") == "json_object" and kind not in _FORCED:
        if _thinks(extra):
            why = "with thinking, Claude only answers in JSON with a schema (json_schema)"
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
    """The kind of a tool_choice, which may be in the caller's own terms."""
    kind = chosen.get("tool_choice", {}).get("type", "auto")
    if isinstance(kind, str):
        return kind
    try:
        return str(msgspec.json.decode(bytes(kind)))
    except MALFORMED:
        return ""
