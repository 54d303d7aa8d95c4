"""Reads recorded exchanges with MLflow's scoring server by its documentation alone: nothing of the code under test."""

from typing import Any

from tests.oracles.served_request import request_of


def answer(recording: dict[str, Any]) -> dict[str, Any]:
    """Texts are choices without a finish reason; there are no tool calls and no usage."""
    predictions = recording["response"]["body"]["predictions"]
    if recording["endpoint"] == "embeddings":
        vectors = predictions if isinstance(predictions[0], list) else [predictions]
        return {"vectors": vectors, "usage": {}}
    if isinstance(predictions, dict):
        named = [predictions[key] for key in ("choices", "candidates") if key in predictions]
        (predictions,) = named or predictions.values()
    return {"choices": [{"text": text, "tool_calls": [], "finish_reason": ""} for text in predictions], "usage": {}}


def request(body: dict[str, Any], task: str) -> Any:
    return request_of(body["inputs"], dict(body.get("params", {})), task)
