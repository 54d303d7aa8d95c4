"""Reads exchanges with MosaicML's inference servers by their documentation alone: nothing of the code under test."""

import re
from typing import Any

from sidecar.v1 import inference_pb2 as pb
from tests.oracles.served_request import request_of

# A turn of the llama-2 template: an instruction, perhaps with the system's words in front, and the answer to it.
TURN = re.compile(r"<s>\[INST\] (?:<<SYS>> (.*?) <</SYS>> )?(.*?) \[/INST\](?: (.*?) </s>)?", re.DOTALL)


def answer(recording: dict[str, Any]) -> dict[str, Any]:
    """Texts are choices without a finish reason; there are no tool calls and no usage."""
    outputs = recording["response"]["body"]["outputs"]
    if recording["endpoint"] == "embeddings":
        return {"vectors": outputs, "usage": {}}
    return {"choices": [{"text": text, "tool_calls": [], "finish_reason": ""} for text in outputs], "usage": {}}


def request(body: dict[str, Any], task: str) -> Any:
    parameters = dict(body.get("parameters", {}))
    if "max_new_tokens" in parameters:
        parameters["max_tokens"] = parameters.pop("max_new_tokens")
    out = request_of(body["inputs"], parameters, task)
    if task == "chat":
        del out.messages[:]
        for turn in TURN.findall(body["inputs"][0]):
            for role, text in zip((pb.ROLE_SYSTEM, pb.ROLE_USER, pb.ROLE_ASSISTANT), turn, strict=True):
                if text:
                    out.messages.add(role=role).content.add(text=text)
    return out
