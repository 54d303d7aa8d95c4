"""Builds our request from a recorded Cohere request, by the provider's documentation alone."""

import base64
import json
from typing import Any

from sidecar.v1 import inference_pb2 as pb

ROLES: dict[str, Any] = {"system": 1, "user": 3, "assistant": 4, "chatbot": 4, "tool": 5}
PLAIN = {"temperature": "temperature", "p": "top_p", "seed": "seed", "max_tokens": "max_tokens", "logprobs": "logprobs"}
PLAIN |= {"frequency_penalty": "frequency_penalty", "presence_penalty": "presence_penalty"}
KNOWN = ("role", "content", "tool_plan", "tool_calls", "tool_call_id")


def request(body: dict[str, Any], task: str) -> Any:
    """The canonical request that a recorded body says; members without a field go to extra_json."""
    rest = {name: value for name, value in body.items() if value is not None and name not in ("model", "stream")}
    out: Any = {"chat": pb.ChatRequest, "completions": pb.CompleteRequest, "embeddings": pb.EmbedRequest}[task]()
    if task == "embeddings":
        out.inputs.extend(pb.EmbedInput(text=text) for text in rest.pop("texts"))
        if "output_dimension" in rest:
            out.dimensions = rest.pop("output_dimension")
    else:
        for theirs in [name for name in PLAIN if name in rest]:
            setattr(out, PLAIN[theirs], rest.pop(theirs))
        out.stop.extend(rest.pop("stop_sequences", []))
    if task == "completions":
        out.prompts.add(text=rest.pop("prompt"))
        if "num_generations" in rest:
            out.n = rest.pop("num_generations")
    if task == "chat":
        _fill_chat(rest, out)
    if rest:
        out.extra_json = json.dumps(rest)
    return out


def _fill_chat(rest: dict[str, Any], out: pb.ChatRequest) -> None:
    if "message" in rest:  # version 1
        turns = [*rest.pop("chat_history", []), {"role": "USER", "message": rest.pop("message")}]
        for turn in turns:
            out.messages.add(role=ROLES[turn["role"].lower()]).content.add(text=turn["message"])
    out.messages.extend(_message(message) for message in rest.pop("messages", []))
    strict = rest.pop("strict_tools", None)
    for tool in rest.pop("tools", []):
        inner = dict(tool["function"])
        schema = json.dumps(inner.pop("parameters"))
        out.tools.add(function=pb.FunctionTool(**inner, parameters_json=schema, strict=strict))
    if choice := rest.pop("tool_choice", None):
        out.tool_choice.MergeFrom(pb.ToolChoice(mode=f"MODE_{choice}"))
    if form := rest.pop("response_format", None):
        if "json_schema" in form:
            out.response_format.json_schema.schema_json = json.dumps(form["json_schema"])
        else:
            out.response_format.other_json = json.dumps(form)


def _message(m: dict[str, Any]) -> pb.Message:
    out = pb.Message(role=ROLES[m["role"]], tool_call_id=m.get("tool_call_id"))
    content = m.get("content") or []
    out.content.extend(_part(p) for p in ([{"type": "text", "text": content}] if isinstance(content, str) else content))
    if m.get("tool_plan"):
        out.content.add(thinking=pb.Thinking(text=m["tool_plan"], native_name="tool_plan"))
    for call in m.get("tool_calls") or []:
        function = call["function"]
        out.tool_calls.add(id=call["id"], name=function["name"], arguments_json=function["arguments"])
    out.extra_json = json.dumps({name: value for name, value in m.items() if name not in KNOWN})
    return out


def _part(p: dict[str, Any]) -> pb.ContentPart:
    if p["type"] in ("text", "thinking"):
        return (
            pb.ContentPart(text=p["text"]) if "text" in p else pb.ContentPart(thinking=pb.Thinking(text=p["thinking"]))
        )
    if p["type"] != "image_url":
        return pb.ContentPart(other_json=json.dumps(p))
    head, _, data = p["image_url"]["url"].partition(";base64,")
    source: Any = {"mime_type": head[5:], "data": base64.b64decode(data)} if data else {"url": head}
    return pb.ContentPart(image=pb.Image(**source, detail=p["image_url"].get("detail")))
