"""Formats that take texts and answer texts: MLflow's scoring server, MosaicML. Parameters go along by name, as both document;
a conversation's structure, tools and probabilities have no place and are refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from adapters.contract import Context, Target
from adapters.json_object import MALFORMED, Refusal, merge_extra, raw_json
from adapters.refusals import Unsupported, invalid, plain_fields, refuse, refuse_unsupported, unsupported
from sidecar.v1 import inference_pb2 as pb

_CHAT_REFUSED: Unsupported = (
    ("tools", lambda r: bool(r.tools)),
    ("tool_choice", lambda r: r.HasField("tool_choice")),
    ("parallel_tool_calls", lambda r: r.HasField("parallel_tool_calls")),
    ("response_format", lambda r: r.HasField("response_format") and r.response_format.WhichOneof("format") != "text"),
    ("logprobs", lambda r: r.logprobs),
    ("top_logprobs", lambda r: r.top_logprobs != 0),
    ("modalities", lambda r: any(word != "text" for word in r.modalities)),
    ("audio", lambda r: r.HasField("audio")),
    ("prediction", lambda r: r.HasField("prediction_json")),
)
_COMPLETIONS_REFUSED: Unsupported = (("logprobs", lambda r: r.HasField("logprobs")),)
_SAMPLING = ("n", "seed", "temperature", "top_p", "max_tokens", "frequency_penalty", "presence_penalty", "user")
_CHAT = (
    *_SAMPLING,
    *("max_completion_tokens", "reasoning_effort", "service_tier", "verbosity", "safety_identifier"),
    *("prompt_cache_key", "store"),
)
_COMPLETIONS = (*_SAMPLING, "suffix", "echo", "best_of")
_EMBEDDINGS = ("dimensions", "user")
# Members of OpenAI's format that have a field of ours: extra_json may not name them.
_MODELLED = frozenset({*_CHAT, *_COMPLETIONS, *_EMBEDDINGS, "model", "messages", "prompt", "input", "stop", "stream"})
_MODELLED |= {param for param, _ in (*_CHAT_REFUSED, *_COMPLETIONS_REFUSED)} | {"logit_bias", "metadata"}
_TEXTS = msgspec.json.Decoder(list[str])
_VECTORS = msgspec.json.Decoder(list[list[float]])


def chat_parameters(request: pb.ChatRequest, target: Target) -> dict[str, Any]:
    """What goes along with the conversation, in OpenAI's words. Raises unsupported_parameter for what has no place."""
    refuse_unsupported(request, target, _CHAT_REFUSED)
    out = _parameters(request, _CHAT)
    if request.metadata:
        out["metadata"] = dict(request.metadata)
    return merge_extra(out, request.extra_json, "", _MODELLED)


def completion_parameters(request: pb.CompleteRequest, target: Target) -> dict[str, Any]:
    refuse_unsupported(request, target, _COMPLETIONS_REFUSED)
    return merge_extra(_parameters(request, _COMPLETIONS), request.extra_json, "", _MODELLED)


def embedding_parameters(request: pb.EmbedRequest) -> dict[str, Any]:
    """`encoding` says how vectors reach the caller; these formats only write numbers."""
    out = plain_fields(request, [(name, name) for name in _EMBEDDINGS])
    return merge_extra(out, request.extra_json, "", _MODELLED)


def _parameters(request: Any, names: Sequence[str]) -> dict[str, Any]:
    out = plain_fields(request, [(name, name) for name in names])
    if request.stop:
        out["stop"] = list(request.stop)
    if request.HasField("logit_bias_json"):
        out["logit_bias"] = raw_json(request.logit_bias_json, "logit_bias")
    return out


def only_prompt(request: pb.CompleteRequest, target: Target) -> str:
    """The text of the one prompt: several answers could not be told apart from several candidates."""
    if not request.prompts:
        raise invalid("prompt", "at least one is needed")
    if len(request.prompts) > 1:
        raise unsupported(target.provider.name, "prompt", "it takes one prompt a call")
    match request.prompts[0].WhichOneof("prompt"):
        case "text":
            return request.prompts[0].text
        case "tokens":
            raise unsupported(target.provider.name, "prompt", "it takes text, not token ids")
        case _:
            raise invalid("prompt", "is empty")


def input_texts(request: pb.EmbedRequest, target: Target) -> list[str]:
    if not request.inputs:
        raise invalid("input", "at least one is needed")
    for number, each in enumerate(request.inputs):
        if each.WhichOneof("input") == "tokens":
            raise unsupported(target.provider.name, "input", "it takes text, not token ids")
        if each.WhichOneof("input") is None:
            raise invalid(f"input[{number}]", "is empty")
    return [each.text for each in request.inputs]


def message_text(message: pb.Message, target: Target, at: str) -> str:
    """The words of a message, its parts one after the other. What is not words is refused by name."""
    for name in ("name", "tool_call_id", "tool_error", "extra_json"):
        if message.HasField(name):
            refuse(target, f"{at}.{name}", name)
    if message.tool_calls:
        refuse(target, f"{at}.tool_calls", "tool_calls")
    return "".join(_part_text(part, target, f"{at}.content[{i}]") for i, part in enumerate(message.content))


def _part_text(part: pb.ContentPart, target: Target, at: str) -> str:
    kind = part.WhichOneof("part")
    if kind is None:
        raise invalid(at, "is empty")
    if part.HasField("extra_json"):
        refuse(target, f"{at}.extra_json", "extra_json")
    if kind == "text":
        return part.text
    refuse(target, f"{at}.{kind}", kind, "it takes text only")
    return ""


def texts(raw: bytes, path: str, refusal: Refusal) -> list[str]:
    """A list of strings with at least one."""
    try:
        found = _TEXTS.decode(raw)
    except MALFORMED:
        found = []
    if not found:
        raise refusal(path, "a list of texts")
    return found


def chat_answer(answers: list[str], context: Context, extra: str | None) -> pb.ChatResponse:
    """One choice a text. There is no finish reason and no usage: missing stays missing."""
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
    """From a list of vectors, at least one."""
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
