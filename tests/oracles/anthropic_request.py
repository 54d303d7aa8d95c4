"""Builds our request from a recorded Anthropic request, by the provider's documentation alone."""

import base64
import json
from typing import Any

from sidecar.v1 import inference_pb2 as pb

ROLES = {"user": pb.ROLE_USER, "assistant": pb.ROLE_ASSISTANT, "system": pb.ROLE_SYSTEM}
PLAIN = ("max_tokens", "temperature", "top_p", "service_tier")


def request(body: dict[str, Any], task: str) -> pb.ChatRequest:
    """The canonical request that a recorded body says."""
    body = {k: v for k, v in body.items() if v is not None and k not in ("model", "stream")}
    out = pb.ChatRequest(**{k: body.pop(k) for k in PLAIN if k in body}, stop=body.pop("stop_sequences", []))
    if system := body.pop("system", None):
        out.messages.add(role=pb.ROLE_SYSTEM, content=_parts(system))
    out.messages.extend(m for turn in body.pop("messages") for m in _messages(turn))
    out.tools.extend(_tool(tool) for tool in body.pop("tools", []))
    if choice := body.pop("tool_choice", None):
        mode = {"auto": "MODE_AUTO", "any": "MODE_REQUIRED", "none": "MODE_NONE"}.get(choice["type"])
        out.tool_choice.CopyFrom(pb.ToolChoice(mode=mode) if mode else pb.ToolChoice(function_name=choice["name"]))
        if "disable_parallel_tool_use" in choice:
            out.parallel_tool_calls = not choice["disable_parallel_tool_use"]
    if metadata := body.pop("metadata", None):
        out.user = metadata["user_id"]
    if "effort" in (config := body.get("output_config", {})):
        out.reasoning_effort = config["effort"]
    if "format" in config:
        out.response_format.json_schema.schema_json = json.dumps(config["format"]["schema"])
    rest = {"output_config": {k: v for k, v in config.items() if k not in ("effort", "format")}} if config else {}
    out.extra_json = json.dumps(body | rest)
    return out


def _parts(content: str | list[Any]) -> list[pb.ContentPart]:
    return [_part(b) for b in ([{"type": "text", "text": content}] if isinstance(content, str) else content)]


def _extra(block: dict[str, Any], *known: str) -> str:
    return json.dumps({k: v for k, v in block.items() if k not in known})


def _part(b: dict[str, Any]) -> pb.ContentPart:
    if b["type"] == "text":
        return pb.ContentPart(text=b["text"], extra_json=_extra(b, "type", "text"))
    if b["type"] == "thinking":
        return pb.ContentPart(thinking=pb.Thinking(text=b["thinking"], signature=b["signature"].encode()))
    if b["type"] == "image":
        data = {"data": base64.b64decode(b["source"].get("data", "")), "mime_type": b["source"].get("media_type")}
        source = {k: b["source"][k] for k in ("url", "file_id") if k in b["source"]} or data
        return pb.ContentPart(image=pb.Image(**source), extra_json=_extra(b, "type", "source"))
    return pb.ContentPart(other_json=json.dumps(b))


def _messages(turn: dict[str, Any]) -> list[pb.Message]:
    out = [pb.Message(role=ROLES[turn["role"]])]
    for b in [{"type": "text", "text": turn["content"]}] if isinstance(turn["content"], str) else turn["content"]:
        if b["type"] == "tool_use":
            call = {"id": b["id"], "name": b["name"], "arguments_json": json.dumps(b["input"])}
            out[-1].tool_calls.add(**call, extra_json=_extra(b, "type", "id", "name", "input"))
            continue
        if b["type"] == "tool_result" or out[-1].tool_calls or out[-1].role == pb.ROLE_TOOL:
            out.append(pb.Message(role=ROLES[turn["role"]]))
        if b["type"] == "tool_result":
            more = _extra(b, "type", "tool_use_id", "content", "is_error")
            result: Any = {"content": _parts(b.get("content", [])), "tool_error": b.get("is_error"), "extra_json": more}
            out[-1].MergeFrom(pb.Message(role=pb.ROLE_TOOL, tool_call_id=b["tool_use_id"], **result))
        else:
            out[-1].content.append(_part(b))
    return [m for m in out if m.content or m.tool_calls or m.tool_call_id]


def _tool(t: dict[str, Any]) -> pb.Tool:
    if "input_schema" not in t:
        return pb.Tool(other_json=json.dumps(t))
    known = {"name": t["name"], "description": t.get("description"), "strict": t.get("strict")}
    more = _extra(t, "input_schema", *known)
    return pb.Tool(function=pb.FunctionTool(**known, parameters_json=json.dumps(t["input_schema"]), extra_json=more))
