"""Builds our request from texts and parameters in OpenAI's words, as MLflow and MosaicML take them. Of ours only the messages."""

import json
from typing import Any

from sidecar.v1 import inference_pb2 as pb


def request_of(inputs: list[str], params: dict[str, Any], task: str) -> Any:
    """Parameters without a field go to extra_json."""
    out: Any = {"chat": pb.ChatRequest, "completions": pb.CompleteRequest, "embeddings": pb.EmbedRequest}[task]()
    if task == "chat":
        out.messages.add(role=pb.ROLE_USER).content.add(text=inputs[0])
    for text in inputs if task != "chat" else ():
        (out.prompts if task == "completions" else out.inputs).add(text=text)
    out.stop.extend(params.pop("stop", [])) if task != "embeddings" else None
    for name in [name for name in params if name in out.DESCRIPTOR.fields_by_name]:
        setattr(out, name, params.pop(name))
    if params:
        out.extra_json = json.dumps(params)
    return out
