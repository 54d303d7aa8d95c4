"""Reads recorded exchanges with Hugging Face's servers (Text Generation Inference's /generate, Text Embeddings Inference's
/embed) by their documentation alone: nothing of the code under test."""

import json
from typing import Any

from sidecar.v1 import inference_pb2 as pb

WORDS = {"eos_token": "stop", "stop_sequence": "stop", "length": "length"}
PLAIN = {"max_new_tokens": "max_tokens", "temperature": "temperature", "top_p": "top_p", "seed": "seed"}
PLAIN |= {"frequency_penalty": "frequency_penalty", "best_of": "best_of", "return_full_text": "echo"}


def answer(recording: dict[str, Any]) -> dict[str, Any]:
    """Text, finish reason and usage of the one choice; of embeddings the vectors."""
    response = recording["response"]
    if recording["endpoint"] == "tei-embed":
        return {"vectors": response["body"], "usage": {}}
    body = response.get("body") or _streamed(response["sse"])
    body = body[0] if isinstance(body, list) else body
    details = body["details"]
    usage = {"output_tokens": details["generated_tokens"]}
    prompt = len(details.get("prefill") or []) or details.get("input_length")
    if prompt:
        usage["input_tokens"] = prompt
    word = WORDS[details["finish_reason"]]
    return {"choices": [{"text": body["generated_text"], "tool_calls": [], "finish_reason": word}], "usage": usage}


def failed(recording: dict[str, Any]) -> bool:
    """Whether a stream of HTTP 200 has an error event."""
    return any("error" in event for event in _events(recording["response"].get("sse", "")))


def request(body: dict[str, Any], task: str) -> Any:
    """The canonical request that a recorded body says; parameters without a field go to extra_json."""
    rest = {name: value for name, value in body.items() if value is not None and name not in ("inputs", "stream")}
    if task == "embeddings":
        texts = [body["inputs"]] if isinstance(body["inputs"], str) else body["inputs"]
        dimensions = rest.pop("dimensions", None)
        inputs = [pb.EmbedInput(text=text) for text in texts]
        return pb.EmbedRequest(inputs=inputs, dimensions=dimensions, extra_json=json.dumps(rest))
    rest = {name: value for name, value in rest.get("parameters", {}).items() if value is not None}
    known: Any = {PLAIN[name]: rest.pop(name) for name in PLAIN if name in rest}
    out = pb.CompleteRequest(prompts=[pb.Prompt(text=body["inputs"])], stop=rest.pop("stop", []), **known)
    out.extra_json = json.dumps(rest)
    return out


def _events(sse: str) -> list[dict[str, Any]]:
    return [json.loads(line[5:]) for line in sse.split("\n") if line.startswith("data:")]


def _streamed(sse: str) -> dict[str, Any]:
    """Every token that is not special, in their order: they are the whole text."""
    events = _events(sse)
    text = "".join(event["token"]["text"] for event in events if not event["token"]["special"])
    assert text == events[-1]["generated_text"]
    return events[-1]
