"""Refusals of a request after which the next model is asked all the same, where the route says so."""

from __future__ import annotations

import json

import pytest

from adapters import GatewayError, Kind
from tests.config.loading import loaded, problems, route
from tests.gateway.in_process import Core, anthropic, openai, to
from tests.provider import Provider, Reply

BOTH = pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
TOO_LONG = ("context_length_exceeded", "This model's maximum context length is 8192 tokens.")
FILTERED = ("content_filter", "The response was filtered.")
REFUSALS = {Kind.CONTEXT_LENGTH_EXCEEDED: TOO_LONG, Kind.CONTENT_FILTERED: FILTERED}


def _refusal(code: str, message: str) -> Reply:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return Reply(status=400, parts=(json.dumps(body).encode(),))


@BOTH
@pytest.mark.parametrize("kind", REFUSALS)
async def test_another_model_is_asked_after_what_the_route_names_and_after_nothing_else(
    kind: Kind, streamed: bool
) -> None:
    other = next(each for each in REFUSALS if each is not kind)
    with Provider() as first, Provider() as second:
        first.script = lambda call: _refusal(*REFUSALS[kind])
        async with Core(to(openai(first), anthropic(second), fallback_on=frozenset({kind}))) as core:
            assert await core.ask(streamed) == "anthropic"
        async with Core(to(openai(first), anthropic(second), fallback_on=frozenset({other}))) as core:
            with pytest.raises(GatewayError) as caught:
                await core.ask(streamed)
        assert caught.value.kind is kind
        assert (len(first.calls), len(second.calls)) == (2, 1)


async def test_a_route_of_one_model_asks_it_once_and_answers_the_refusal() -> None:
    with Provider() as only:
        only.script = lambda call: _refusal(*TOO_LONG)
        async with Core(to(openai(only), fallback_on=frozenset(REFUSALS))) as core:
            with pytest.raises(GatewayError) as caught:
                await core.ask(False)
        assert (caught.value.kind, len(only.calls)) == (Kind.CONTEXT_LENGTH_EXCEEDED, 1)


def test_the_file_says_it_for_a_route_or_for_all() -> None:
    text = "defaults: {fallback_on: [content_filter]}\n" + route("fallback_on: [context_length]")
    assert loaded(text).routes["chat"].fallback_on == {Kind.CONTEXT_LENGTH_EXCEEDED}
    assert loaded(text.replace("    fallback_on: [context_length]\n", "")).routes["chat"].fallback_on == {
        Kind.CONTENT_FILTERED
    }
    (problem,) = problems(route("fallback_on: [context_lenght]"))
    assert problem.endswith('fallback_on[0]: unknown word "context_lenght"; did you mean "context_length"?')
