"""Text Generation Inference: /generate, its stream, and chat through its Messages API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import Context, GatewayError, HttpCall, Kind, Target, Task, side_of
from adapters.chunks import accumulate_completion
from adapters.huggingface import FORMAT
from adapters.providers import PROVIDERS
from adapters.sse import Event
from sidecar.v1 import inference_pb2 as pb
from tests.adapters.laws import cases
from tests.oracles import huggingface as oracle

CONTEXT = Context(1_700_000_000, lambda prefix: prefix + "1", "mistral-7b")
GENERATE, CHAT = FORMAT.provider[Task.COMPLETIONS], FORMAT.provider[Task.CHAT]
PROMPT = pb.Prompt(text="Once")
PLAIN = {"inputs": "Once", "parameters": {"details": True}}


def target(base: str = "http://127.0.0.1:8080", **options: Any) -> Target:
    return Target(PROVIDERS["huggingface-text-generation-inference"], "mistral-7b", base, options)


def call_of(request: pb.CompleteRequest, stream: bool = False, **options: Any) -> HttpCall:
    return GENERATE.encode(request, target(**options), stream, CONTEXT)


def body_of(request: pb.CompleteRequest, **how: Any) -> Any:
    return json.loads(call_of(request, **how).body)


def complete(**fields: Any) -> pb.CompleteRequest:
    return pb.CompleteRequest(**({"prompts": [PROMPT]} | fields))


def refusal_of(request: pb.CompleteRequest, **how: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        call_of(request, **how)
    return caught.value


def test_a_prompt_goes_to_generate_or_its_stream_with_only_the_details_asked_for() -> None:
    for stream, path in ((False, "/generate"), (True, "/generate_stream")):
        call = call_of(complete(), stream)
        assert (call.url, json.loads(call.body)) == (f"http://127.0.0.1:8080{path}", PLAIN)


@pytest.mark.parametrize("end", ["/", "/v1", "/generate", "/generate/"])
def test_the_address_may_name_a_path_below_the_servers_root(end: str) -> None:
    assert GENERATE.encode(complete(), target(f"http://h{end}"), False, CONTEXT).url == "http://h/generate"
    call = CHAT.encode(pb.ChatRequest(messages=[USER]), target(f"http://h{end}"), False, CONTEXT)
    assert call.url == "http://h/v1/chat/completions"


USER = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")])


def test_chat_goes_to_the_messages_api_which_knows_the_models_template() -> None:
    request = pb.ChatRequest(messages=[USER], max_tokens=5, extra_json='{"grammar":{"type":"json"}}')
    call = CHAT.encode(request, target(), True, CONTEXT)
    assert call.url == "http://127.0.0.1:8080/v1/chat/completions"
    assert json.loads(call.body) == {
        "model": "mistral-7b",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 5,
        "stream": True,
        "stream_options": {"include_usage": True},
        "grammar": {"type": "json"},
    }


SENT: dict[str, tuple[Any, dict[str, Any]]] = {
    "max_tokens": (9, {"max_new_tokens": 9}),
    "temperature": (0.5, {"temperature": 0.5}),
    "top_p": (0.5, {"top_p": 0.5}),
    "seed": (2**40, {"seed": 2**40}),
    "frequency_penalty": (0.5, {"frequency_penalty": 0.5}),
    "best_of": (2, {"best_of": 2}),
    "echo": (True, {"return_full_text": True}),
    "stop": (["x"], {"stop": ["x"]}),
    "logprobs": (3, {"top_n_tokens": 3}),
    "extra_json": ('{"top_k": 5, "typical_p": 0.1}', {"top_k": 5, "typical_p": 0.1}),
}
REFUSED: dict[str, Any] = {
    "n": 2,
    "suffix": "x",
    "presence_penalty": 0.5,
    "logit_bias_json": '{"5": 1}',
}
LEFT_OUT: dict[str, Any] = {"user": "u", "stream_options": pb.StreamOptions(include_obfuscation=True)}


def test_every_field_of_a_completion_is_either_sent_or_refused() -> None:
    names = {field.name for field in pb.CompleteRequest.DESCRIPTOR.fields}
    assert names == {"route", "prompts", *SENT, *REFUSED, *LEFT_OUT}
    for name, value in LEFT_OUT.items():
        assert body_of(complete(**{name: value})) == PLAIN
    for name, (value, made) in SENT.items():
        assert body_of(complete(**{name: value}))["parameters"] == {"details": True} | made
    for name, value in REFUSED.items():
        param = name.removesuffix("_json")
        error = refusal_of(complete(**{name: value}))
        assert (error.kind, (error.param or "").startswith(param)) == (Kind.UNSUPPORTED_PARAMETER, True)
        assert "huggingface-text-generation-inference" in error.message
        assert body_of(complete(**{name: value}), drop_params=[param]) == PLAIN


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"temperature": 0.0}, {"do_sample": False}),
        ({"top_p": 1.0}, {}),
        ({"n": 1, "presence_penalty": 0.0}, {}),
        ({"logprobs": 0}, {"top_n_tokens": 1}),
        ({"echo": False}, {"return_full_text": False}),
        ({"extra_json": '{"details": false}'}, {"details": False}),
    ],
)
def test_values_that_the_server_says_in_another_way(given: dict[str, Any], sent: dict[str, Any]) -> None:
    assert body_of(complete(**given))["parameters"] == {"details": True} | sent


def test_a_prompt_cannot_be_repeated_in_a_stream() -> None:
    assert refusal_of(complete(echo=True), stream=True).param == "echo"
    assert body_of(complete(echo=True), stream=True, drop_params=["echo"]) == PLAIN


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (complete(prompts=[]), Kind.INVALID_REQUEST),
        (complete(prompts=[pb.Prompt()]), Kind.INVALID_REQUEST),
        (complete(prompts=[PROMPT, PROMPT]), Kind.UNSUPPORTED_PARAMETER),
        (complete(prompts=[pb.Prompt(tokens=pb.Tokens(ids=[1]))]), Kind.UNSUPPORTED_PARAMETER),
        (complete(temperature=float("inf")), Kind.INVALID_REQUEST),
        (complete(extra_json='{"max_new_tokens": 1}'), Kind.INVALID_REQUEST),
        (complete(extra_json="5"), Kind.INVALID_REQUEST),
    ],
)
def test_what_cannot_be_said_is_refused(request_: pb.CompleteRequest, kind: Kind) -> None:
    assert refusal_of(request_).kind is kind


@pytest.mark.parametrize(
    "case",
    [c for c in cases() if c.recording["endpoint"] in ("tgi-generate", "inference-models")],
    ids=lambda c: c.path.stem,
)
def test_recorded_requests_are_encoded_as_they_were(case: Any) -> None:
    body = case.recording["request"]["body"]
    made = body_of(oracle.request(body, "completions"))
    recorded = {name: value for name, value in body["parameters"].items() if value not in (None, [])}
    assert made == {"inputs": body["inputs"], "parameters": {"details": True} | recorded}


def decoded(body: Any) -> pb.CompleteResponse:
    answer: pb.CompleteResponse = GENERATE.decode(json.dumps(body).encode(), CONTEXT)
    return answer


def token(text: str, special: bool = False, logprob: float = -0.5) -> dict[str, Any]:
    return {"id": 1, "text": text, "logprob": logprob, "special": special}


DETAILS = {"finish_reason": "length", "generated_tokens": 2, "seed": None, "prefill": [], "tokens": [token("a")]}


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("length", pb.FINISH_REASON_LENGTH),
        ("eos_token", pb.FINISH_REASON_STOP),
        ("stop_sequence", pb.FINISH_REASON_STOP),
        ("new_word", pb.FINISH_REASON_OTHER),
    ],
)
def test_finish_reasons_are_mapped_and_keep_the_servers_word(word: str, reason: pb.FinishReason) -> None:
    (choice,) = decoded({"generated_text": "a", "details": DETAILS | {"finish_reason": word}}).choices
    assert (choice.finish_reason, choice.native_finish_reason) == (reason, word)


def test_prompt_tokens_are_counted_only_where_the_server_lists_them() -> None:
    usage = decoded({"generated_text": "a", "details": DETAILS}).usage
    assert (usage.output_tokens, usage.HasField("input_tokens"), usage.HasField("total_tokens")) == (2, False, False)
    usage = decoded({"generated_text": "a", "details": DETAILS | {"prefill": [token("x"), token("y")]}}).usage
    assert (usage.input_tokens, usage.total_tokens) == (2, 4)


def test_a_seed_beyond_53_bits_keeps_every_digit_and_the_tokens_are_not_repeated() -> None:
    (choice,) = decoded({"generated_text": "a", "details": DETAILS | {"seed": 10337522019019826656}}).choices
    assert json.loads(choice.extra_json) == {"details": {"seed": 10337522019019826656}}


def test_probabilities_come_in_the_shape_of_text_completions() -> None:
    top: dict[str, Any] = {
        "tokens": [token("a"), token("b")],
        "top_tokens": [[token("a"), token("c", logprob=-2)], [token("b")]],
    }
    wanted = {
        "tokens": ["a", "b"],
        "token_logprobs": [-0.5, -0.5],
        "top_logprobs": [{"a": -0.5, "c": -2.0}, {"b": -0.5}],
    }
    (choice,) = decoded({"generated_text": "ab", "details": DETAILS | top}).choices
    assert json.loads(choice.logprobs_json) == wanted
    events = [
        {"token": token("a"), "top_tokens": top["top_tokens"][0]},
        {"token": token("b"), "top_tokens": [token("b")]},
    ]
    made = accumulate_completion(streamed(events[0], events[1] | {"generated_text": "ab", "details": DETAILS}))
    assert json.loads(made.choices[0].logprobs_json) == wanted


def streamed(*events: dict[str, Any]) -> list[Any]:
    assert GENERATE.stream is not None
    decoder = GENERATE.stream(target(), CONTEXT)
    out = [chunk for each in events for chunk in decoder.feed(Event("", json.dumps(each).encode(), b""))]
    return out + decoder.close()


def test_special_tokens_are_no_part_of_the_text_and_the_end_has_the_counts() -> None:
    last = {"token": token("</s>", True), "generated_text": "a b", "details": DETAILS | {"input_length": 7}}
    chunks = streamed({"token": token("a"), "generated_text": None}, {"token": token(" b"), "details": None}, last)
    answer = accumulate_completion(chunks)
    assert (answer.choices[0].text, answer.model, answer.id) == ("a b", "mistral-7b", "cmpl-1")
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (7, 2, 9)
    assert [bool(chunk.choices[0].finish_reason) for chunk in chunks] == [False, False, True]


@pytest.mark.parametrize("events", [[], [{"token": token("a")}], [{"x": 1}], [{"token": 5}], [{"token": {"text": 5}}]])
def test_a_stream_that_is_cut_or_no_stream_is_no_success(events: list[dict[str, Any]]) -> None:
    with pytest.raises(GatewayError) as caught:
        streamed(*events)
    assert caught.value.kind is Kind.UPSTREAM_PROTOCOL


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ({"error": "boom", "error_type": "generation"}, Kind.UPSTREAM_UNAVAILABLE),
        ({"error": "busy", "error_type": "overloaded"}, Kind.RATE_LIMITED),
        ({"error": "bad", "error_type": "validation"}, Kind.INVALID_REQUEST),
        ({"error": {"message": "odd"}}, Kind.UPSTREAM_UNAVAILABLE),
    ],
)
def test_an_error_inside_a_stream_or_an_answer_is_a_failure(failure: dict[str, Any], kind: Kind) -> None:
    for read in (lambda: streamed({"token": token("a")}, failure), lambda: decoded(failure)):
        with pytest.raises(GatewayError) as caught:
            read()
        assert (caught.value.kind, caught.value.message in ("boom", "busy", "bad", "odd")) == (kind, True)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"[{},{}]", b'{"generated_text":5}', b"\xff", b'[{"generated_text":"a"}']
)
def test_a_body_that_is_no_answer_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        GENERATE.decode(body, CONTEXT)
    assert caught.value.kind is Kind.UPSTREAM_PROTOCOL


LONG = (
    b'{"error":"Input validation error: `inputs` must have less than 10 tokens. Given: 20","error_type":"validation"}'
)


@pytest.mark.parametrize(
    ("status", "body", "kind", "wait_s"),
    [
        (422, LONG, Kind.CONTEXT_LENGTH_EXCEEDED, None),
        (422, b'{"error":"`temperature` must be strictly positive","error_type":"validation"}', Kind.INVALID_REQUEST, None),
        (424, b'{"error":"Request failed during generation","error_type":"generation"}', Kind.UPSTREAM_UNAVAILABLE, None),
        (424, b"", Kind.UPSTREAM_UNAVAILABLE, None),
        (429, b'{"error":"Model is overloaded","error_type":"overloaded"}', Kind.RATE_LIMITED, None),
        (500, b'{"error":"Incomplete generation","error_type":"incomplete_generation"}', Kind.UPSTREAM_UNAVAILABLE, None),
        (503, b'{"error":"Model gpt2 is currently loading","estimated_time":20.0}', Kind.UPSTREAM_UNAVAILABLE, 20.0),
        (503, b'{"error":"loading","estimated_time":1e300}', Kind.UPSTREAM_UNAVAILABLE, 3600.0),
        (413, b'{"error":"batch size 33 > 32","error_type":"Validation"}', Kind.REQUEST_TOO_LARGE, None),
        (401, b'{"error":"Invalid credentials in Authorization header"}', Kind.UPSTREAM_REJECTED_CREDENTIALS, None),
        (400, b'{"error":["a is unknown","b too"]}', Kind.INVALID_REQUEST, None),
        (404, b"Not Found", Kind.UPSTREAM_NOT_FOUND, None),
        (502, b"<html>", Kind.UPSTREAM_UNAVAILABLE, None),
        (500, b"\xff", Kind.UPSTREAM_UNAVAILABLE, None),
    ],
)  # fmt: skip
def test_error_bodies_of_any_kind_have_their_reason(status: int, body: bytes, kind: Kind, wait_s: float | None) -> None:
    error = FORMAT.error(status, {}, body)
    assert (error.kind, error.status, error.retry_after_s) == (kind, status, wait_s)
    assert error.message


def test_each_of_the_two_servers_does_what_it_can() -> None:
    for name, tasks in (
        ("huggingface-text-generation-inference", {Task.CHAT, Task.COMPLETIONS}),
        ("text-embeddings-inference", {Task.EMBEDDINGS}),
    ):
        at = Target(PROVIDERS[name], "m", "http://h")
        assert {task for task in Task if side_of(FORMAT, at, task)} == tasks
