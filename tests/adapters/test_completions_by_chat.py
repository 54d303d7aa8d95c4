"""Text completions at providers that only chat: which go that way, what is sent, what comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import FORMATS, Context, GatewayError, Kind, ProviderSide, Target, Task, side_of
from adapters.chunks import accumulate_completion
from adapters.providers import PROVIDERS
from adapters.sse import Parser
from sidecar.v1 import inference_pb2 as pb

CONTEXT = Context(1_700_000_000, lambda prefix: prefix + "1")


def target(provider: str = "openai", model: str = "gpt-4", **options: Any) -> Target:
    return Target(PROVIDERS[provider], model, "http://x/v1", options)


def side(at: Target) -> ProviderSide:
    found = side_of(FORMATS[at.provider.format], at, Task.COMPLETIONS)
    assert found is not None
    return found


def completion(**fields: Any) -> pb.CompleteRequest:
    return pb.CompleteRequest(route="r", prompts=[pb.Prompt(text="What is MLflow?")], **fields)


def sent(request: pb.CompleteRequest, at: Target, stream: bool = False) -> tuple[str, Any]:
    call = side(at).encode(request, at, stream, CONTEXT)
    return call.url, json.loads(call.body)


@pytest.mark.parametrize(
    ("provider", "model", "options", "path"),
    [
        ("openai", "gpt-4", {}, "/chat/completions"),
        ("openai", "gpt-3.5-turbo-instruct", {}, "/completions"),
        ("openai", "Davinci-002", {}, "/completions"),
        ("openai", "ft:davinci-002:company::id", {}, "/completions"),
        ("openai", "ft:gpt-3.5-turbo:company::id", {}, "/chat/completions"),
        ("azure", "babbage-002", {}, "/completions"),
        ("azure", "gpt-35-turbo", {}, "/chat/completions"),
        ("openai", "my-finetune", {"completions_api": "completions"}, "/completions"),
        ("openai", "gpt-3.5-turbo-instruct", {"completions_api": "chat"}, "/chat/completions"),
        ("vllm", "opt-125m", {}, "/completions"),
        ("vllm", "opt-125m", {"completions_api": "chat"}, "/chat/completions"),
        ("llama.cpp", "x", {}, "/completions"),
        ("local", "x", {}, "/completions"),
        ("openai-compatible", "gpt-4", {}, "/completions"),
        ("mistral", "mistral-small", {}, "/chat/completions"),
        ("groq", "llama", {}, "/chat/completions"),
        ("anthropic", "claude-x", {}, "/messages"),
    ],
)
def test_provider_model_and_route_decide_which_api_is_called(
    provider: str, model: str, options: dict[str, str], path: str
) -> None:
    url, _ = sent(completion(max_tokens=5), target(provider, model, **options))
    assert url.removeprefix("http://x/v1") == path


def test_the_prompt_is_one_user_message_and_what_was_asked_for_goes_along() -> None:
    request = completion(
        max_tokens=7, temperature=0.5, stop=["."], n=2, user="u", logprobs=3, extra_json='{"made_up": 1}'
    )
    _, body = sent(request, target(), stream=True)
    assert body == {
        "model": "gpt-4",
        "messages": [{"role": "user", "content": "What is MLflow?"}],
        "max_tokens": 7,
        "temperature": 0.5,
        "stop": ["."],
        "n": 2,
        "user": "u",
        "logprobs": True,
        "top_logprobs": 3,
        "stream": True,
        "stream_options": {"include_usage": True},
        "made_up": 1,
    }


def test_every_field_of_a_completion_is_sent_or_refused_by_name() -> None:
    given: dict[str, Any] = {
        "suffix": "s", "echo": True, "logprobs": 1, "n": 2, "best_of": 3, "stop": ["x"], "max_tokens": 1, "temperature": 0.0,
        "top_p": 0.5, "seed": 1, "frequency_penalty": 0.1, "presence_penalty": 0.1, "logit_bias_json": "{}", "user": "u",
        "stream_options": pb.StreamOptions(include_usage=True), "extra_json": '{"z": 1}',
    }  # fmt: skip
    fields = set(pb.CompleteRequest.DESCRIPTOR.fields_by_name)
    assert set(given) == fields - {"route", "prompts"}, "a new field needs a decision"
    _, bare = sent(completion(), target())
    for name, value in given.items():
        try:
            assert sent(completion(**{name: value}), target())[1] != bare
        except GatewayError as error:
            assert (error.kind, error.param) == (Kind.UNSUPPORTED_PARAMETER, name)


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (completion(suffix="end"), "suffix"),
        (completion(echo=True), "echo"),
        (completion(best_of=3), "best_of"),
        (pb.CompleteRequest(prompts=[pb.Prompt(text="a"), pb.Prompt(text="b")]), "prompt"),
        (pb.CompleteRequest(prompts=[pb.Prompt(tokens=pb.Tokens(ids=[1, 2]))]), "prompt"),
    ],
)
def test_what_a_conversation_cannot_say_is_refused_by_name(request_: pb.CompleteRequest, param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        sent(request_, target())
    assert (caught.value.kind, caught.value.param) == (Kind.UNSUPPORTED_PARAMETER, param)
    assert "'openai'" in caught.value.message


@pytest.mark.parametrize("request_", [completion(echo=False), completion(best_of=1), completion(n=2, best_of=2)])
def test_what_chat_does_anyway_is_no_reason_to_refuse(request_: pb.CompleteRequest) -> None:
    assert {"echo", "best_of"}.isdisjoint(sent(request_, target())[1])


def test_a_route_may_drop_what_chat_cannot_say() -> None:
    _, body = sent(completion(suffix="end", best_of=2), target(drop_params=("suffix", "best_of")))
    assert {"suffix", "best_of"}.isdisjoint(body)


@pytest.mark.parametrize("model", ["o3-mini", "gpt-5-nano"])
def test_reasoning_models_get_the_limit_by_its_newer_name(model: str) -> None:
    _, body = sent(completion(max_tokens=7), target(model=model))
    assert body["max_completion_tokens"] == 7
    assert "max_tokens" not in body


def test_the_answer_is_a_text_with_its_finish_reason_usage_and_what_the_provider_said_beyond() -> None:
    answer = {
        "id": "c1",
        "object": "chat.completion",
        "created": 3,
        "model": "gpt-4-0613",
        "system_fingerprint": "fp",
        "prompt_filter_results": [],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "A tool.", "reasoning_content": "hm"},
                "finish_reason": "length",
                "logprobs": {
                    "content": [{"token": "A", "logprob": -1.5, "top_logprobs": [{"token": "A", "logprob": -1.5}]}]
                },
                "content_filter_results": {"hate": {"filtered": False}},
            },
            {"index": 1, "message": {"role": "assistant", "content": None, "refusal": "No."}, "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": 13, "completion_tokens": 7, "total_tokens": 20},
    }
    made = side(target()).decode(json.dumps(answer).encode(), CONTEXT)
    wire = json.loads(FORMATS["openai"].client[Task.COMPLETIONS].encode_response(made))
    assert wire["object"] == "text_completion"
    assert (wire["id"], wire["model"], wire["system_fingerprint"]) == ("c1", "gpt-4-0613", "fp")
    assert wire["prompt_filter_results"] == []
    assert [(each["text"], each["finish_reason"]) for each in wire["choices"]] == [
        ("A tool.", "length"),
        ("No.", "stop"),
    ]
    assert wire["choices"][0]["reasoning_content"] == "hm"
    assert wire["choices"][0]["content_filter_results"] == {"hate": {"filtered": False}}
    assert wire["choices"][0]["logprobs"] == {"tokens": ["A"], "token_logprobs": [-1.5], "top_logprobs": [{"A": -1.5}]}
    assert wire["usage"] == answer["usage"]


def chunks(at: Target, *events: Any) -> list[Any]:
    stream = side(at).stream
    assert stream is not None
    decoder, parser, out = stream(at, CONTEXT), Parser(), []
    text = "".join(f"data: {json.dumps(each) if isinstance(each, dict) else each}\n\n" for each in events)
    for event in parser.feed(text.encode()):
        out += decoder.feed(event)
    return out + decoder.close()


def piece(delta: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"id": "c1", "created": 1, "model": "m", "choices": [{"index": 0, "delta": delta, **members}]}


USAGE = {"id": "c1", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}


def test_streamed_deltas_become_pieces_of_text() -> None:
    made = chunks(
        target(),
        piece({"role": "assistant", "content": ""}),
        piece({"content": "A "}),
        piece({"content": "tool."}),
        piece({}, finish_reason="stop"),
        USAGE,
        "[DONE]",
    )
    assert [[choice.text for choice in chunk.choices] for chunk in made] == [["A "], ["tool."], [""], []]
    whole = accumulate_completion(made)
    assert (whole.id, whole.choices[0].text) == ("c1", "A tool.")
    assert whole.choices[0].finish_reason == pb.FINISH_REASON_STOP
    assert whole.usage.total_tokens == 3


def test_a_stream_that_breaks_off_is_an_error_here_too() -> None:
    with pytest.raises(GatewayError) as caught:
        chunks(target(), piece({"content": "A "}))
    assert caught.value.kind is Kind.UPSTREAM_PROTOCOL


def test_anthropic_answers_a_completion_too() -> None:
    at = target("anthropic", "claude-x", default_max_tokens=9)
    _, body = sent(completion(stop=["END"]), at)
    assert (body["max_tokens"], body["stop_sequences"]) == (9, ["END"])
    answer = {
        "type": "message", "id": "m1", "role": "assistant", "model": "claude-x", "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "max_tokens", "usage": {"input_tokens": 1, "output_tokens": 2},
    }  # fmt: skip
    made = side(at).decode(json.dumps(answer).encode(), CONTEXT)
    assert (made.choices[0].text, made.choices[0].native_finish_reason) == ("Hi", "max_tokens")
    assert made.choices[0].finish_reason == pb.FINISH_REASON_LENGTH
