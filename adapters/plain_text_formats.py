"""Formats that take texts and return texts: MLflow's scoring server, MosaicML. Parameters are passed by name, as
both document; the structure of a conversation, tools and logprobs are not supported and are refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from adapters.contract import Context
from adapters.fit import Fit
from adapters.fit_request import part_type
from adapters.json_object import MALFORMED, Refusal, callers_object, merge_extra, raw_json
from adapters.members import TEXT
from adapters.refusals import invalid, plain_fields
from sidecar.v1 import inference_pb2 as pb

_SAMPLING = ("n", "seed", "temperature", "top_p", "max_tokens", "frequency_penalty", "presence_penalty", "user")
_CHAT = (
    *_SAMPLING,
    *("max_completion_tokens", "reasoning_effort", "service_tier", "verbosity", "safety_identifier"),
    *("prompt_cache_key", "store"),
)
_COMPLETIONS = (*_SAMPLING, "suffix", "echo", "best_of")
_EMBEDDINGS = ("dimensions", "user")
# The supported members of a request (`adapters.members`): texts, and parameters by name.
_ALWAYS = {"model", "stream", "stream_options", "stream_options.include_usage", "stop", "logit_bias"}
CHAT_PLACES = TEXT | _ALWAYS | {*_CHAT, "metadata"}
COMPLETION_PLACES = frozenset(_ALWAYS | {*_COMPLETIONS, "prompt"})
EMBEDDING_PLACES = frozenset({*_EMBEDDINGS, "model", "input", "encoding_format"})
# Members of OpenAI's format with a canonical field: extra_json must not name them.
_MODELLED = frozenset({*_CHAT, *_COMPLETIONS, *_EMBEDDINGS, "model", "messages", "prompt", "input", "stop", "stream"})
_MODELLED |= {
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "logprobs",
    "top_logprobs",
    "modalities",
}
_MODELLED |= {"audio", "prediction", "logit_bias", "metadata"}
_TEXTS = msgspec.json.Decoder(list[str])
_VECTORS = msgspec.json.Decoder(list[list[float]])


def chat_parameters(request: pb.ChatRequest) -> dict[str, Any]:
    """The parameters of a chat, by OpenAI's names."""
    out = _parameters(request, _CHAT)
    if request.metadata:
        out["metadata"] = dict(request.metadata)
    return merge_extra(out, request.extra_json, "", _MODELLED)


def completion_parameters(request: pb.CompleteRequest) -> dict[str, Any]:
    return merge_extra(_parameters(request, _COMPLETIONS), request.extra_json, "", _MODELLED)


def embedding_parameters(request: pb.EmbedRequest) -> dict[str, Any]:
    """`encoding` determines how the caller gets vectors; these formats only return numbers."""
    out = plain_fields(request, [(name, name) for name in _EMBEDDINGS])
    return merge_extra(out, request.extra_json, "", _MODELLED)


def _parameters(request: Any, names: Sequence[str]) -> dict[str, Any]:
    out = plain_fields(request, [(name, name) for name in names])
    if request.stop:
        out["stop"] = list(request.stop)
    if request.HasField("logit_bias_json"):
        out["logit_bias"] = raw_json(request.logit_bias_json, "logit_bias")
    return out


def only_prompt(request: pb.CompleteRequest, fit: Fit) -> str:
    """The text of the single prompt: several answers could not be told apart from several candidates."""
    if not request.prompts:
        raise invalid("prompt", "at least one is needed")
    if len(request.prompts) > 1:
        raise fit.unsupported("prompt", "it takes one prompt per call")
    match request.prompts[0].WhichOneof("prompt"):
        case "text":
            return request.prompts[0].text
        case "tokens":
            raise fit.unsupported("prompt", "it takes text, not token ids")
        case _:
            raise invalid("prompt", "is empty")


def input_texts(request: pb.EmbedRequest, fit: Fit) -> list[str]:
    if not request.inputs:
        raise invalid("input", "at least one is needed")
    for number, each in enumerate(request.inputs):
        if each.WhichOneof("input") == "tokens":
            raise fit.unsupported("input", "it takes text, not token ids")
        if each.WhichOneof("input") is None:
            raise invalid(f"input[{number}]", "is empty")
    return [each.text for each in request.inputs]


def message_text(message: pb.Message, fit: Fit, at: str) -> str:
    """The text of a message, its parts concatenated. Anything but text is refused by name."""
    for name in ("tool_call_id", "tool_error"):
        if message.HasField(name):
            fit.refuse(f"{at}.{name}", f"messages[].{name}")
    if message.extra_json:
        for name in callers_object(message.extra_json, f"{at}.extra_json"):
            fit.refuse(f"{at}.{name}", f"messages[].{name}")
    if message.tool_calls:
        fit.refuse(f"{at}.tool_calls", "messages[].tool_calls")
    return "".join(_part_text(part, fit, f"{at}.content[{i}]") for i, part in enumerate(message.content))


def _part_text(part: pb.ContentPart, fit: Fit, at: str) -> str:
    kind = part.WhichOneof("part")
    if kind is None:
        raise invalid(at, "is empty")
    if part.extra_json:
        for name in callers_object(part.extra_json, f"{at}.extra_json"):
            fit.refuse(f"{at}.{name}", f"messages[].content[].{name}", "it only takes text")
    if kind in ("text", "refusal"):
        return part.text or part.refusal
    word = part_type(part)
    fit.refuse(f"{at}.{word}", f"messages[].content[].{word}", "it only takes text")
    return ""


def texts(raw: bytes, path: str, refusal: Refusal) -> list[str]:
    """A list of at least one string."""
    try:
        found = _TEXTS.decode(raw)
    except MALFORMED:
        found = []
    if not found:
        raise refusal(path, "a list of texts")
    return found


def chat_answer(answers: list[str], context: Context, extra: str | None) -> pb.ChatResponse:
    """One choice per text. There is no finish reason and no usage; they stay missing."""
    answer = pb.ChatResponse(
        id=context.new_id("chatcmpl-"), created=context.now_s, model=context.model, extra_json=extra
    )
    for index, text in enumerate(answers):
        choice = answer.choices.add(index=index)
        choice.message.role = pb.ROLE_ASSISTANT
        choice.message.content.add(text=text)
    return answer


def completion_answer(answers: list[str], context: Context, extra: str | None) -> pb.CompleteResponse:
    answer = pb.CompleteResponse(
        id=context.new_id("cmpl-"), created=context.now_s, model=context.model, extra_json=extra
    )
    for index, text in enumerate(answers):
        answer.choices.add(index=index, text=text)
    return answer


def embeddings_answer(raw: bytes, path: str, refusal: Refusal, context: Context, extra: str | None) -> pb.EmbedResponse:
    """From a list of at least one vector."""
    try:
        vectors = _VECTORS.decode(raw)
    except MALFORMED:
        vectors = []
    if not vectors:
        raise refusal(path, "a list of vectors")
    answer = pb.EmbedResponse(model=context.model, extra_json=extra)
    for index, vector in enumerate(vectors):
        answer.embeddings.add(index=index).values.values.extend(vector)
    return answer
