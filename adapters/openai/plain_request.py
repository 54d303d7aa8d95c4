"""Encodes the most common typed chat requests in one step: messages with one text, and plain settings."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.contract import Context, HttpCall, Target
from adapters.openai import field_tables
from adapters.openai.body_edits import apply_row
from adapters.openai.chat_request import PATH, any_request, write_streaming
from adapters.openai.finish_and_usage import ROLE_WORDS
from adapters.openai.roles import knows_developer
from adapters.urls import url_of
from sidecar.v1 import inference_pb2 as pb

# `n` has its own rule, `logit_bias` and `prediction` are text that has to be opened.
_SETTINGS = frozenset(row[2] for row in field_tables.CHAT if row[1] != "json") - {"n"}


def encode(request: pb.ChatRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    """Encodes the canonical request as OpenAI's chat body."""
    plain = plain_request(request, target)
    if plain is None:
        return any_request(request, target, stream)
    if stream:
        write_streaming(request, target, stream, plain)
    return HttpCall(url_of(target, PATH), msgspec.json.encode(apply_row(plain, target)))


def plain_request(request: pb.ChatRequest, target: Target) -> dict[str, Any] | None:
    """The members of the body, before the provider's rules for them. Returns None for any other request, and if the
    route or the provider removes something; chat_request handles those, and gives the same result for the common
    ones."""
    provider = target.provider
    if target.options.get("drop_params") or not knows_developer(target) or provider.options.get("usage_unasked"):
        return None
    settings = False
    for field, _ in request.ListFields():
        name = field.name
        if name in ("route", "messages"):
            continue
        if name not in _SETTINGS or name in provider.leaves:
            return None
        settings = True
    messages = []
    for message in request.messages:
        content, role = message.content, ROLE_WORDS.get(message.role)
        if role is None or len(content) != 1 or len(message.ListFields()) != 2:
            return None
        fields = content[0].ListFields()
        if len(fields) != 1 or fields[0][0].name != "text":
            return None
        text = fields[0][1]
        if not text and role == "assistant" and provider.options.get("refuses_empty_turns"):
            return None
        messages.append({"role": role, "content": text})
    if not messages:
        return None
    out = {"model": target.model, "messages": messages}
    return field_tables.write(request, field_tables.CHAT, out) if settings else out
