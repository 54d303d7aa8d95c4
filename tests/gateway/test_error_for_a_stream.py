"""A provider that answers 200 and a JSON error where a stream was requested: the error is of its own kind, in every format."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from adapters import GatewayError, Kind
from sidecar.domain.snapshot import Upstream
from tests.gateway.in_process import Core, anthropic, openai, to
from tests.provider import Call, Provider, Reply


def cohere(provider: Provider) -> Upstream:
    return replace(openai(provider), provider="cohere")


def claude(provider: Provider) -> Upstream:
    return anthropic(provider, options={"default_max_tokens": 9})


UPSTREAMS: dict[str, Callable[[Provider], Upstream]] = {"openai": openai, "anthropic": claude, "cohere": cohere}
ERRORS = {
    "a status": ({"error": {"message": "Slow down now.", "code": 429}}, Kind.RATE_LIMITED),
    "a code": ({"error": {"message": "Slow down now.", "code": "rate_limit_exceeded"}}, Kind.RATE_LIMITED),
    "a type": ({"type": "error", "error": {"type": "overloaded_error", "message": "Busy."}}, Kind.UPSTREAM_UNAVAILABLE),
    "its words": ({"error": {"message": "Your credit balance is too low."}}, Kind.QUOTA_EXHAUSTED),
    "nothing": ({"error": {"message": "It broke."}}, Kind.UPSTREAM_PROTOCOL),
}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("provider_name", UPSTREAMS)
async def test_what_an_error_says_of_itself_decides_its_kind(
    provider: Provider, provider_name: str, error: str
) -> None:
    body, kind = ERRORS[error]

    def answer(call: Call) -> Reply:
        return Reply(200, (("content-type", "application/json"),), (json.dumps(body).encode(),))

    provider.script = answer
    async with Core(to(UPSTREAMS[provider_name](provider))) as core:
        with pytest.raises(GatewayError) as caught:
            await core.stream()
    assert caught.value.kind is kind, caught.value.message
