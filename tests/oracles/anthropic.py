"""Reads recorded Anthropic exchanges by the provider's documentation alone: nothing of the code under test."""

import base64
import json

from sidecar.v1 import inference_pb2 as pb

WORDS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
WORDS |= {"model_context_window_exceeded": "length", "refusal": "content_filter"}


def answer(recording: dict) -> dict:
    """Text, tool calls as (name, arguments text), finish reason and usage of the one choice."""
    response = recording["response"]
    message = response["body"] if response.get("body") is not None else _streamed(response["sse"])
    blocks, used = message["content"], {k: v for k, v in message["usage"].items() if v is not None}
    calls = [(b["name"], b.get("text_of_input") or json.dumps(b["input"])) for b in blocks if b["type"] == "tool_use"]
    text = "".join(b["text"] for b in blocks if b["type"] == "text")
    parts = [used.get(k, 0) for k in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")]
    usage = {"input_tokens": sum(parts), "output_tokens": used["output_tokens"]}
    usage |= {"cached_input_tokens": parts[1], "cache_write_tokens": parts[2]}
    word = WORDS.get(message["stop_reason"], "other")
    return {"choices": [{"text": text, "tool_calls": calls, "finish_reason": word}], "usage": usage}


def _streamed(sse: str) -> dict:
    message: dict = {}
    for line in sse.split("\n"):
        event = json.loads(line[5:]) if line.startswith("data:") else {"type": ""}
        if event["type"] == "message_start":
            message = event["message"]
        elif event["type"] == "content_block_start":
            message["content"].append(event["content_block"])
        elif event["type"] == "content_block_delta":
            block, delta = message["content"][event["index"]], event["delta"]
            for key, to in (("text", "text"), ("partial_json", "text_of_input")):
                block[to] = block.get(to, "") + delta[key] if key in delta else block.get(to, "")
        elif event["type"] == "message_delta":
            message |= event["delta"]
            message["usage"] |= {k: v for k, v in event["usage"].items() if v is not None}
    return message


def request(body: dict, task: str) -> pb.ChatRequest:
    """The canonical request that a recorded body says."""
    body, config = dict(body), dict(body.get("output_config") or {})
    system = body.pop("system", None)
    out = pb.ChatRequest(messages=[pb.Message(role=pb.ROLE_SYSTEM, content=_parts(system))] if system else [])
    out.messages.extend(m for turn in body.pop("messages") for m in _messages(turn))
    out.tools.extend(_tool(tool) for tool in body.pop("tools", None) or [])
    if choice := body.pop("tool_choice", None):
        modes = {"auto": pb.ToolChoice.MODE_AUTO, "any": pb.ToolChoice.MODE_REQUIRED, "none": pb.ToolChoice.MODE_NONE}
        named = choice["type"] == "tool"
        out.tool_choice.CopyFrom(
            pb.ToolChoice(function_name=choice["name"]) if named else pb.ToolChoice(mode=modes[choice["type"]])
        )
        if choice.get("disable_parallel_tool_use") is not None:
            out.parallel_tool_calls = not choice["disable_parallel_tool_use"]
    for name in ("max_tokens", "temperature", "top_p", "service_tier"):
        if body.get(name) is not None:
            setattr(out, name, body[name])
    out.stop.extend(body.get("stop_sequences") or [])
    if body.get("metadata"):
        out.user = body["metadata"]["user_id"]
    if config.get("effort"):
        out.reasoning_effort = config.pop("effort")
    if config.get("format"):
        out.response_format.json_schema.schema_json = json.dumps(config.pop("format")["schema"])
    said = "model stream max_tokens temperature top_p service_tier stop_sequences metadata output_config".split()
    rest = {k: v for k, v in body.items() if k not in said} | ({"output_config": config} if config else {})
    out.extra_json = json.dumps(rest)
    return out


def _parts(content: str | list) -> list[pb.ContentPart]:
    return [_part(b) for b in ([{"type": "text", "text": content}] if isinstance(content, str) else content)]


def _extra(block: dict, *said: str) -> str | None:
    rest = {k: v for k, v in block.items() if k not in ("type", *said) and v is not None}
    return json.dumps(rest) if rest else None


def _part(b: dict) -> pb.ContentPart:
    kind, source = b["type"], b.get("source") if isinstance(b.get("source"), dict) else {}
    if kind == "text":
        return pb.ContentPart(text=b["text"], extra_json=_extra(b, "text"))
    if kind == "thinking":
        return pb.ContentPart(thinking=pb.Thinking(text=b["thinking"], signature=b["signature"].encode()))
    if kind == "redacted_thinking":
        return pb.ContentPart(thinking=pb.Thinking(redacted=b["data"].encode()))
    if kind not in ("image", "document") or source.get("type") not in ("base64", "url", "file"):
        return pb.ContentPart(other_json=json.dumps(b))
    how = {"base64": lambda: {"data": base64.b64decode(source["data"]), "mime_type": source["media_type"]}}
    how |= {"url": lambda: {"url": source["url"]}, "file": lambda: {"file_id": source["file_id"]}}
    media = (pb.Image if kind == "image" else pb.File)(**how[source["type"]]())
    return pb.ContentPart(**{"image" if kind == "image" else "file": media}, extra_json=_extra(b, "source"))


def _messages(turn: dict) -> list[pb.Message]:
    role = {"user": pb.ROLE_USER, "assistant": pb.ROLE_ASSISTANT, "system": pb.ROLE_SYSTEM}[turn["role"]]
    out: list[pb.Message] = []
    if isinstance(turn["content"], str):
        return [pb.Message(role=role, content=_parts(turn["content"]))]
    for b in turn["content"]:
        if b["type"] == "tool_result":
            parts, extra = _parts(b.get("content") or []), _extra(b, "tool_use_id", "content", "is_error")
            result = pb.Message(role=pb.ROLE_TOOL, tool_call_id=b["tool_use_id"], content=parts, extra_json=extra)
            if b.get("is_error") is not None:
                result.tool_error = b["is_error"]
            out.append(result)
        elif b["type"] == "tool_use":
            if not out:
                out.append(pb.Message(role=role))
            extra = _extra(b, "id", "name", "input")
            out[-1].tool_calls.add(id=b["id"], name=b["name"], arguments_json=json.dumps(b["input"]), extra_json=extra)
        else:
            if not out or out[-1].role != role or out[-1].tool_calls:
                out.append(pb.Message(role=role))
            out[-1].content.append(_part(b))
    return out


def _tool(t: dict) -> pb.Tool:
    if "input_schema" not in t:
        return pb.Tool(other_json=json.dumps(t))
    extra = {k: v for k, v in t.items() if k not in ("name", "description", "input_schema", "strict")}
    return pb.Tool(
        function=pb.FunctionTool(
            name=t["name"],
            description=t.get("description"),
            parameters_json=json.dumps(t["input_schema"]),
            strict=t.get("strict"),
        ),
        extra_json=json.dumps(extra),
    )
