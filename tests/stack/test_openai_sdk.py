"""OpenAI's own SDK with a base URL and an API key, nothing else: no header, no query, no setting of ours."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import AsyncIterator, Iterator

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionUserMessageParam

from tests.provider import Provider, error_reply, json_reply
from tests.stack.stack import Stack

# The first start on a machine fetches the model.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]
HELLO: ChatCompletionUserMessageParam = {"role": "user", "content": "Say hello."}


def sdk(stack: Stack, **settings: object) -> OpenAI:
    """As users make it, trusting our CA."""
    given = {"base_url": f"{stack.url}/v1", "api_key": stack.api_key, **settings}
    return OpenAI(http_client=openai.DefaultHttpxClient(verify=stack.trust()), **given)  # type: ignore[arg-type]


@pytest.fixture
def client(model_stack: Stack) -> Iterator[OpenAI]:
    with sdk(model_stack) as made:
        yield made


@pytest.fixture
async def async_client(model_stack: Stack) -> AsyncIterator[AsyncOpenAI]:
    http = openai.DefaultAsyncHttpxClient(verify=model_stack.trust())
    async with AsyncOpenAI(base_url=f"{model_stack.url}/v1", api_key=model_stack.api_key, http_client=http) as made:
        yield made


@pytest.fixture
def simulated(stack: Stack) -> Iterator[OpenAI]:
    with sdk(stack) as made:
        yield made


def test_a_chat_is_answered_with_text_and_usage(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=[HELLO], max_tokens=24)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


@pytest.mark.parametrize("wanted", [True, False])
def test_a_streamed_chat_brings_usage_only_if_it_was_asked_for(client: OpenAI, wanted: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if wanted else {}
    chunks = list(
        client.chat.completions.create(model="chat", messages=[HELLO], max_tokens=24, stream=True, extra_body=options)
    )
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] in ("stop", "length")
    with_usage = [chunk for chunk in chunks if chunk.usage is not None]
    assert len(with_usage) == wanted
    if wanted:
        assert with_usage == chunks[-1:]
        assert chunks[-1].choices == []
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens > 0
    assert all(chunk.choices for chunk in chunks[: -1 if wanted else None]), "no empty chunk is left over"


def test_the_streamed_text_is_the_unary_text(client: OpenAI) -> None:
    whole = client.chat.completions.create(model="chat", messages=[HELLO], max_tokens=24, temperature=0, seed=1)
    stream = client.chat.completions.create(
        model="chat", messages=[HELLO], max_tokens=24, temperature=0, seed=1, stream=True
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert len([piece for piece in pieces if piece]) > 1
    assert "".join(pieces) == whole.choices[0].message.content


def test_completions_whole_and_streamed(client: OpenAI) -> None:
    answer = client.completions.create(model="completions", prompt="Once upon a time", max_tokens=8)
    assert answer.object == "text_completion"
    assert answer.choices[0].text
    assert answer.usage is not None
    stream = client.completions.create(model="completions", prompt="Once upon a time", max_tokens=8, stream=True)
    assert "".join(choice.text for chunk in stream for choice in chunk.choices)


def test_embeddings_as_numbers_and_by_the_sdks_default_base64_are_the_same_vectors(client: OpenAI) -> None:
    texts = ["cats purr", "the stock exchange"]
    default = client.embeddings.create(model="embeddings", input=texts)
    numbers = client.embeddings.create(model="embeddings", input=texts, encoding_format="float")
    assert [row.index for row in default.data] == [0, 1]
    for one, other in zip(default.data, numbers.data, strict=True):
        assert len(one.embedding) == len(other.embedding) > 100
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert math.hypot(*one.embedding) == pytest.approx(1, abs=0.01)
    assert default.data[0].embedding != default.data[1].embedding
    assert default.usage.prompt_tokens > 0


def test_base64_embeddings_are_little_endian_floats_on_the_wire(model_stack: Stack) -> None:
    with model_stack.http() as http:
        wanted = {"model": "embeddings", "input": "cats purr", "encoding_format": "base64"}
        packed = http.post("/v1/embeddings", json=wanted).json()["data"][0]["embedding"]
        numbers = http.post("/v1/embeddings", json={**wanted, "encoding_format": "float"}).json()["data"][0][
            "embedding"
        ]
    data = base64.b64decode(packed, validate=True)
    assert struct.unpack(f"<{len(data) // 4}f", data) == pytest.approx(numbers, abs=1e-6)


def test_models_are_the_routes(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["chat", "completions", "embeddings"]
    model = client.models.retrieve("embeddings")
    assert (model.id, model.object) == ("embeddings", "model")


def test_wrong_calls_raise_the_sdks_own_exceptions(client: OpenAI, model_stack: Stack) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="no-such-route", messages=[HELLO])
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    assert unknown.value.type == "invalid_request_error"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-route")
    with pytest.raises(openai.BadRequestError) as wrong_task:
        client.chat.completions.create(model="embeddings", messages=[HELLO])
    assert "llm/v1/embeddings" in wrong_task.value.message
    assert wrong_task.value.request_id
    with sdk(model_stack, api_key="wrong") as stranger, pytest.raises(openai.AuthenticationError) as refused:
        stranger.models.list()
    assert (refused.value.code, refused.value.type) == ("invalid_api_key", "authentication_error")


def test_a_providers_refusal_reaches_the_caller_with_its_words(simulated: OpenAI, simulator: Provider) -> None:
    simulator.script = lambda call: error_reply(call, 400, "messages: too wise", "too_wise")
    with pytest.raises(openai.BadRequestError, match="too wise") as refused:
        simulated.chat.completions.create(model="chat", messages=[HELLO])
    assert (refused.value.code, refused.value.type) == ("too_wise", "invalid_request_error")


def test_a_rate_limit_says_when_to_come_back(simulated: OpenAI, simulator: Provider) -> None:
    simulator.script = lambda call: error_reply(call, 429, "slow down", headers=(("retry-after", "70"),))
    with pytest.raises(openai.RateLimitError) as limited:
        simulated.with_options(max_retries=0).chat.completions.create(model="chat", messages=[HELLO])
    assert limited.value.type == "rate_limit_error"
    assert limited.value.response.headers["retry-after"] == "70"


def test_the_sdks_own_retry_gets_the_answer_after_a_failure_that_passes(simulated: OpenAI, simulator: Provider) -> None:
    before = len(simulator.calls)
    simulator.script = lambda call: error_reply(call, 500, "oops") if call.id == before else None
    answer = simulated.chat.completions.create(model="chat", messages=[HELLO])
    assert answer.choices[0].message.content == "echo: Say hello."
    assert len(simulator.calls) - before == 2


def test_a_permanent_failure_is_not_retried_by_the_sdk(simulated: OpenAI, simulator: Provider) -> None:
    before = len(simulator.calls)
    simulator.script = lambda call: json_reply({"no": "chat completion"})
    with pytest.raises(openai.InternalServerError) as broken:
        simulated.chat.completions.create(model="chat", messages=[HELLO])
    assert (broken.value.status_code, broken.value.code) == (502, "upstream_protocol")
    assert len(simulator.calls) - before == 1


def test_a_rejected_provider_key_is_never_the_callers_401(simulated: OpenAI, simulator: Provider) -> None:
    simulator.script = lambda call: error_reply(call, 401, f"Incorrect API key provided: {call.key}")
    with pytest.raises(openai.APIStatusError) as refused:
        simulated.chat.completions.create(model="chat", messages=[HELLO])
    assert (refused.value.status_code, refused.value.code) == (424, "upstream_rejected_credentials")
    assert "upstream-key" not in refused.value.response.text


async def test_the_async_client_gets_the_same(async_client: AsyncOpenAI) -> None:
    answer = await async_client.chat.completions.create(model="chat", messages=[HELLO], max_tokens=16)
    assert answer.choices[0].message.content
    stream = await async_client.chat.completions.create(model="chat", messages=[HELLO], max_tokens=16, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert len((await async_client.embeddings.create(model="embeddings", input="cats")).data) == 1
    with pytest.raises(openai.NotFoundError):
        await async_client.chat.completions.create(model="no-such-route", messages=[HELLO])
