"""Encodes requests as POST {model_server_url}/invocations, always in the `inputs` form, with `params` only if there
are any."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.contract import Context, HttpCall, Target
from adapters.echoes import NO_ECHOES, fit_history
from adapters.fit import Fit
from adapters.fit_request import fit_chat, fit_completion, fit_embeddings
from adapters.plain_text_formats import (
    CHAT_PLACES,
    COMPLETION_PLACES,
    EMBEDDING_PLACES,
    chat_parameters,
    completion_parameters,
    embedding_parameters,
    input_texts,
    message_text,
    only_prompt,
)
from adapters.refusals import invalid
from sidecar.v1 import inference_pb2 as pb


def encode_chat(request: pb.ChatRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    """A model takes one question: conversations are refused, since roles and turns cannot be expressed."""
    fit = Fit(target)
    if not request.messages:
        raise invalid("messages", "at least one is needed")
    request = fit_history(fit_chat(request, CHAT_PLACES, fit), NO_ECHOES, fit)
    if len(request.messages) > 1:
        raise fit.unsupported("messages", f"an MLflow model takes one message per call, not {len(request.messages)}")
    message = request.messages[0]
    if message.role != pb.ROLE_USER:
        raise fit.unsupported("messages[0].role", "an MLflow model only takes a user message")
    return _call([message_text(message, fit, "messages[0]")], chat_parameters(request), fit)


def encode_completion(request: pb.CompleteRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    fit = Fit(target)
    request = fit_completion(request, COMPLETION_PLACES, fit)
    return _call([only_prompt(request, fit)], completion_parameters(request), fit)


def encode_embeddings(request: pb.EmbedRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    fit = Fit(target)
    request = fit_embeddings(request, EMBEDDING_PLACES, fit)
    return _call(input_texts(request, fit), embedding_parameters(request), fit)


def _call(inputs: list[str], params: dict[str, Any], fit: Fit) -> HttpCall:
    body: dict[str, Any] = {"inputs": inputs}
    if params:
        body["params"] = params
    return HttpCall(f"{fit.target.base_url}/invocations", msgspec.json.encode(body), left_out=fit.left_out())
