"""MosaicML inference, provider side, without streams: POST {base}/{model}/v1/predict with `inputs` and `parameters`
returns `outputs`.

The hosted service has been shut down; companies still run its endpoints. The key is in `Authorization`, without
"Bearer". The names and the llama-2 template are those of MLflow's gateway, the last public client. Answers have no
model, finish reason or usage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from adapters.contract import Context, Format, Headers, HttpCall, ProviderSide, Target, Task
from adapters.echoes import NO_ECHOES, fit_history
from adapters.errors import GatewayError, Kind, replace_error
from adapters.fit import Fit
from adapters.fit_request import fit_chat, fit_completion, fit_embeddings
from adapters.json_object import Obj, of_answer
from adapters.plain_text_formats import (
    CHAT_PLACES,
    COMPLETION_PLACES,
    EMBEDDING_PLACES,
    chat_answer,
    chat_parameters,
    completion_answer,
    completion_parameters,
    embedding_parameters,
    embeddings_answer,
    input_texts,
    message_text,
    only_prompt,
    texts,
)
from adapters.refusals import invalid
from adapters.served_errors import error as plain_error
from adapters.urls import escaped
from sidecar.v1 import inference_pb2 as pb

_LIMIT = "max_new_tokens"
# OpenAI's two names for the same limit.
_LIMITS = ("max_tokens", "max_completion_tokens")
# The service answers these two with HTTP 500.
_REFUSALS = (
    ("max output tokens is limited to", Kind.INVALID_REQUEST),
    ("prompt token count", Kind.CONTEXT_LENGTH_EXCEEDED),
)
_ROLES = {
    pb.ROLE_SYSTEM: "system",
    pb.ROLE_DEVELOPER: "system",
    pb.ROLE_USER: "user",
    pb.ROLE_ASSISTANT: "assistant",
}


def encode_chat(request: pb.ChatRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    """Raises invalid_request for a model other than llama-2, the only known template."""
    if not target.model.lower().replace("-", "").replace("_", "").startswith("llama2"):
        text = f"Provider '{target.provider.name}' only chats with models whose name begins with llama2."
        raise GatewayError(Kind.INVALID_REQUEST, text, param="model")
    fit = Fit(target)
    request = fit_history(fit_chat(request, CHAT_PLACES, fit), NO_ECHOES, fit)
    return _call([_llama2(request.messages, fit)], chat_parameters(request), fit)


def encode_completion(request: pb.CompleteRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    fit = Fit(target)
    request = fit_completion(request, COMPLETION_PLACES, fit)
    return _call([only_prompt(request, fit)], completion_parameters(request), fit)


def encode_embeddings(request: pb.EmbedRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    fit = Fit(target)
    request = fit_embeddings(request, EMBEDDING_PLACES, fit)
    return _call(input_texts(request, fit), embedding_parameters(request), fit)


def _llama2(messages: Sequence[pb.Message], fit: Fit) -> str:
    """`<s>[INST] <<SYS>> S <</SYS>> U1 [/INST] A1 </s><s>[INST] U2 [/INST]`; a final answer stays open."""
    if not messages:
        raise invalid("messages", "at least one is needed")
    prompt, user_turn_open = "<s>", False
    for number, message in enumerate(messages):
        at = f"messages[{number}]"
        role = _ROLES.get(message.role)
        if role is None:
            raise fit.unsupported(f"{at}.role", "it supports the roles system, user and assistant")
        words = message_text(message, fit, at)
        if role == "assistant":
            prompt += (" [/INST]" if user_turn_open else "") + f" {words} </s><s>"
        else:
            prompt += (" " if user_turn_open else "[INST] ") + (
                f"<<SYS>> {words} <</SYS>>" if role == "system" else words
            )
        user_turn_open = role != "assistant"
    return prompt + " [/INST]" if user_turn_open else prompt.removesuffix("</s><s>")


def _call(inputs: list[str], parameters: dict[str, Any], fit: Fit) -> HttpCall:
    body: dict[str, Any] = {"inputs": inputs}
    if parameters := _renamed(parameters):
        body["parameters"] = parameters
    url = f"{fit.target.base_url}/{escaped(fit.target.model)}/v1/predict"
    return HttpCall(url, msgspec.json.encode(body), left_out=fit.left_out())


def _renamed(parameters: dict[str, Any]) -> dict[str, Any]:
    given = [name for name in _LIMITS if name in parameters]
    if given and _LIMIT in parameters:
        raise invalid(_LIMIT, f"give either this or {given[0]}")
    if len(given) > 1:
        raise invalid(given[1], f"give either this or {given[0]}")
    return {_LIMIT if name in given else name: value for name, value in parameters.items()}


def _outputs(body: bytes) -> tuple[Obj, bytes]:
    obj = Obj(body, "", of_answer)
    raw = obj.take("outputs")
    if raw is None:
        raise of_answer("outputs", "there")
    return obj, raw


def decode_chat(body: bytes, context: Context) -> pb.ChatResponse:
    obj, raw = _outputs(body)
    return chat_answer(texts(raw, "outputs", of_answer), context, obj.extra())


def decode_completion(body: bytes, context: Context) -> pb.CompleteResponse:
    obj, raw = _outputs(body)
    return completion_answer(texts(raw, "outputs", of_answer), context, obj.extra())


def decode_embeddings(body: bytes, context: Context) -> pb.EmbedResponse:
    obj, raw = _outputs(body)
    return embeddings_answer(raw, "outputs", of_answer, context, obj.extra())


def error(status: int, headers: Headers, body: bytes) -> GatewayError:
    """Classifies a failed HTTP answer. Never raises, whatever the body."""
    failure = plain_error(status, headers, body)
    words = failure.message.lower()
    for phrase, kind in _REFUSALS:
        if status == 500 and phrase in words:
            failure = replace_error(failure, kind=kind)
    return failure


FORMAT = Format(
    name="mosaicml",
    client={},
    provider={
        Task.CHAT: ProviderSide(encode=encode_chat, decode=decode_chat, stream=None),
        Task.COMPLETIONS: ProviderSide(encode=encode_completion, decode=decode_completion, stream=None),
        Task.EMBEDDINGS: ProviderSide(encode=encode_embeddings, decode=decode_embeddings, stream=None),
    },
    error=error,
    paths=("/{model}/v1/predict",),
)
