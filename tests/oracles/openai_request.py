"""Builds our request from a recorded OpenAI completions or embeddings request, by the documentation alone. Chat: open."""

import json
from typing import Any

from sidecar.v1 import inference_pb2 as pb

ROLES = {"system": 1, "developer": 2, "user": 3, "assistant": 4, "tool": 5, "function": 6}
PLAIN = (
    "n",
    "seed",
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "user",
    "echo",
    "dimensions",
    "suffix",
)
JSON_FIELDS = {"logit_bias": "logit_bias_json", "prediction": "prediction_json"}


def request(body: dict[str, Any], task: str) -> Any:
    """The canonical embeddings or completions request that a recorded body says; chat comes from OpenAI's own members."""
    rest = {name: value for name, value in body.items() if value is not None and name not in ("model", "stream")}
    if task == "embeddings":
        inputs = rest.pop("input")
        out: Any = pb.EmbedRequest(inputs=[_text(pb.EmbedInput, each) for each in _listed(inputs)])
        out.encoding = {"float": 1, "base64": 2}.get(rest.pop("encoding_format", ""), 0)
    elif task == "completions":
        prompts = rest.pop("prompt")
        out = pb.CompleteRequest(prompts=[_text(pb.Prompt, each) for each in _listed(prompts)])
    else:
        raise NotImplementedError("chat requests have no oracle yet")
    for name in [name for name in PLAIN if name in rest and name in out.DESCRIPTOR.fields_by_name]:
        setattr(out, name, rest.pop(name))
    rest.pop("stream_options", None)
    if rest:
        modelled = {name: rest.pop(name) for name in list(rest) if name in out.DESCRIPTOR.fields_by_name}
        for name, value in modelled.items():
            if name == "stop":
                out.stop.extend([value] if isinstance(value, str) else value)
            else:
                setattr(out, name, value)
        for name in [name for name in JSON_FIELDS if name in rest]:
            setattr(out, JSON_FIELDS[name], json.dumps(rest.pop(name)))
        if rest:
            out.extra_json = json.dumps(rest)
    return out


def _listed(value: Any) -> list[Any]:
    single = isinstance(value, str) or (bool(value) and isinstance(value[0], int))
    return [value] if single else value


def _text(kind: Any, value: Any) -> Any:
    return kind(text=value) if isinstance(value, str) else kind(tokens=pb.Tokens(ids=value))
