"""Builds our request from a recorded OpenAI request, by the provider's documentation alone: nothing of the code under test."""

import json
from typing import Any

from sidecar.v1 import inference_pb2 as pb
from tests.oracles.openai_messages import extra, message

JSON_FIELDS = {"logit_bias": "logit_bias_json", "prediction": "prediction_json"}
LISTS = ("stop", "modalities")


def request(body: dict[str, Any], task: str) -> Any:
    """The canonical request that a recorded body says; members without a field go to extra_json."""
    rest = {name: value for name, value in body.items() if value is not None and name not in ("model", "stream")}
    kind: Any = {"chat": pb.ChatRequest, "completions": pb.CompleteRequest, "embeddings": pb.EmbedRequest}[task]
    out = kind()
    if task == "chat":
        _fill_chat(rest, out)
    elif task == "completions":
        out.prompts.extend(_text(pb.Prompt, each) for each in _listed(rest.pop("prompt")))
    else:
        out.inputs.extend(_text(pb.EmbedInput, each) for each in _listed(rest.pop("input")))
        out.encoding = {"float": 1, "base64": 2}.get(rest.pop("encoding_format", ""), 0)
    if options := rest.pop("stream_options", None):
        out.stream_options.MergeFrom(pb.StreamOptions(**options))
    for name in [name for name in rest if name in out.DESCRIPTOR.fields_by_name and name not in LISTS]:
        setattr(out, name, rest.pop(name))
    for name in [name for name in JSON_FIELDS if name in rest]:
        setattr(out, JSON_FIELDS[name], json.dumps(rest.pop(name)))
    for name in [name for name in LISTS if name in rest]:
        getattr(out, name).extend(_listed(rest.pop(name)))
    if rest:
        out.extra_json = json.dumps(rest)
    return out


def _fill_chat(rest: dict[str, Any], out: pb.ChatRequest) -> None:
    out.messages.extend(message({k: v for k, v in each.items() if v is not None}) for each in rest.pop("messages"))
    for tool in rest.pop("tools", []):
        inner = tool["function"]
        known: Any = {name: inner.get(name) for name in ("name", "description", "strict")}
        known["extra_json"] = extra(inner, *known, "parameters")
        known["parameters_json"] = json.dumps(inner["parameters"]) if "parameters" in inner else None
        out.tools.add(function=pb.FunctionTool(**known), extra_json=extra(tool, "type", "function"))
    choice = rest.pop("tool_choice", None)
    if isinstance(choice, str):
        out.tool_choice.MergeFrom(pb.ToolChoice(mode="MODE_" + choice.upper()))
    elif choice is not None:
        out.tool_choice.function_name = choice["function"]["name"]
    form = rest.pop("response_format", {"type": ""})
    if form["type"] == "json_schema":
        schema = dict(form["json_schema"])
        text = json.dumps(schema.pop("schema"))
        out.response_format.json_schema.MergeFrom(pb.JsonSchemaFormat(**schema, schema_json=text))
    elif form["type"]:
        getattr(out.response_format, form["type"]).SetInParent()
    out.metadata.update(rest.pop("metadata", {}))
    if "audio" in rest:
        out.audio.MergeFrom(pb.AudioOutput(**rest.pop("audio")))


def _listed(value: Any) -> list[Any]:
    single = isinstance(value, str) or (bool(value) and isinstance(value[0], int))
    return [value] if single else value


def _text(kind: Any, value: Any) -> Any:
    return kind(text=value) if isinstance(value, str) else kind(tokens=pb.Tokens(ids=value))
