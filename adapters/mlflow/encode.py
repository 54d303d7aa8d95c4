"""Canonical requests -> POST {model_server_url}/invocations. Always the `inputs` form; `params` only where there are any."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.contract import Context, HttpCall, Target
from adapters.plain_text_formats import (
    chat_parameters,
    completion_parameters,
    embedding_parameters,
    input_texts,
    message_text,
    only_prompt,
)
from adapters.refusals import invalid, refuse, unsupported
from sidecar.v1 import inference_pb2 as pb


def encode_chat(request: pb.ChatRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    """A model takes one question: a conversation is refused, because neither roles nor turns can be said."""
    if not request.messages:
        raise invalid("messages", "at least one is needed")
    if len(request.messages) > 1:
        why = f"an MLflow model takes one message a call, not {len(request.messages)}"
        raise unsupported(target.provider.name, "messages", why)
    message = request.messages[0]
    if message.role != pb.ROLE_USER:
        refuse(target, "messages[0].role", "role", "an MLflow model takes a user's message only")
    return _call([message_text(message, target, "messages[0]")], chat_parameters(request, target), target)


def encode_completion(request: pb.CompleteRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    return _call([only_prompt(request, target)], completion_parameters(request, target), target)


def encode_embeddings(request: pb.EmbedRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    return _call(input_texts(request, target), embedding_parameters(request), target)


def _call(inputs: list[str], params: dict[str, Any], target: Target) -> HttpCall:
    body: dict[str, Any] = {"inputs": inputs}
    if params:
        body["params"] = params
    return HttpCall(f"{target.base_url}/invocations", msgspec.json.encode(body))
