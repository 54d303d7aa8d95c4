"""Decodes the most common chat answers in one step: texts, a usage, and nothing that needs closer examination."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from adapters.json_object import MALFORMED
from adapters.openai.finish_and_usage import set_finish
from adapters.openai.plain_usage import plain_usage
from sidecar.v1 import inference_pb2 as pb

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Seconds = Annotated[int, msgspec.Meta(ge=1, lt=10**18)]  # 18 digits fit into int64
_Index = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
_NoAnnotations = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=0)]


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    role: Literal["assistant"]
    content: str
    refusal: None = None
    annotations: _NoAnnotations | None = None


class _Choice(msgspec.Struct, forbid_unknown_fields=True):
    message: _Message
    finish_reason: str
    index: _Index = 0
    logprobs: None = None


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    id: _Text
    created: _Seconds
    model: str
    choices: list[_Choice]
    usage: msgspec.Raw
    object: str = ""
    system_fingerprint: str | None = None
    service_tier: str | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


def plain_answer(body: bytes) -> pb.ChatResponse | None:
    """Returns None for any other answer and for invalid ones, which chat_answer handles. Both give the same result
    for the common ones."""
    try:
        if not body.isascii():
            body.decode()
        found = _ANSWER.decode(body)
    except MALFORMED:
        return None
    usage = plain_usage(found.usage)
    if usage is None:
        return None
    answer = pb.ChatResponse(id=found.id, created=found.created, model=found.model, usage=usage)
    if found.system_fingerprint is not None:
        answer.system_fingerprint = found.system_fingerprint
    if found.service_tier is not None:
        answer.service_tier = found.service_tier
    for choice in found.choices:
        into = answer.choices.add(index=choice.index)
        set_finish(choice.finish_reason, into)
        message = into.message
        message.role = pb.ROLE_ASSISTANT
        message.content.add(text=choice.message.content)
        if choice.message.annotations is not None:
            message.extra_json = '{"annotations":[]}'
    return answer
