"""Builds our messages from recorded OpenAI ones, by the documentation alone: nothing of the code under test."""

import base64
import json
from typing import Any

from sidecar.v1 import inference_pb2 as pb


def message(m: dict[str, Any]) -> pb.Message:
    out = pb.Message(role="ROLE_" + m["role"].upper(), name=m.get("name"), tool_call_id=m.get("tool_call_id"))
    content = m.get("content", [])
    out.content.extend(_part(p) for p in ([{"type": "text", "text": content}] if isinstance(content, str) else content))
    if "refusal" in m:
        out.content.add(refusal=m["refusal"])
    for call in m.get("tool_calls", []):
        known = {"id": call["id"], "name": call["function"]["name"], "arguments_json": call["function"]["arguments"]}
        out.tool_calls.add(**known, extra_json=extra(call, "id", "type", "function"))
    out.extra_json = extra(m, "role", "content", "name", "tool_call_id", "tool_calls", "refusal")
    return out


def _part(p: dict[str, Any]) -> pb.ContentPart:
    more = extra(p, "type", p["type"])
    if p["type"] == "text":
        return pb.ContentPart(text=p["text"], extra_json=more)
    if p["type"] == "image_url" and isinstance(p["image_url"], dict):
        image: Any = {"detail": p["image_url"].get("detail"), **_source(p["image_url"]["url"], "url")}
        return pb.ContentPart(image=pb.Image(**image), extra_json=more)
    if p["type"] == "input_audio":
        sound = {"data": base64.b64decode(p["input_audio"]["data"]), "format": p["input_audio"]["format"]}
        return pb.ContentPart(audio=pb.Audio(**sound), extra_json=more)
    if p["type"] == "file" and "file_data" in p["file"]:
        file: Any = {"filename": p["file"].get("filename"), **_source(p["file"]["file_data"], "")}
        return pb.ContentPart(file=pb.File(**file), extra_json=more)
    return pb.ContentPart(other_json=json.dumps(p))


def _source(uri: str, otherwise: str) -> dict[str, Any]:
    head, _, data = uri.partition(";base64,")
    return {"mime_type": head[5:], "data": base64.b64decode(data)} if head.startswith("data:") else {otherwise: uri}


def extra(members: dict[str, Any], *known: str) -> str:
    return json.dumps({name: value for name, value in members.items() if name not in known})
