"""Text Embeddings Inference, by its OpenAI path and by /embed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import Context, GatewayError, Kind, Target, Task
from adapters.huggingface import FORMAT
from adapters.providers import PROVIDERS
from sidecar.v1 import inference_pb2 as pb

CONTEXT = Context(1_700_000_000, lambda prefix: prefix + "1", "bge-small")
SIDE = FORMAT.provider[Task.EMBEDDINGS]
TEXTS = [pb.EmbedInput(text="a"), pb.EmbedInput(text="b")]


def sent(request: pb.EmbedRequest, **options: Any) -> tuple[str, Any]:
    target = Target(PROVIDERS["text-embeddings-inference"], "bge-small", "http://h/", options)
    call = SIDE.encode(request, target, False, CONTEXT)
    return call.url, json.loads(call.body)


def test_texts_go_to_the_path_that_counts_tokens() -> None:
    wanted = {"model": "bge-small", "input": ["a", "b"], "encoding_format": "base64"}
    assert sent(pb.EmbedRequest(inputs=TEXTS, encoding=pb.EmbedRequest.ENCODING_BASE64)) == (
        "http://h/v1/embeddings",
        wanted,
    )


@pytest.mark.parametrize("name", ["normalize", "truncate", "truncation_direction", "prompt_name"])
def test_what_only_embed_knows_goes_there(name: str) -> None:
    request = pb.EmbedRequest(inputs=TEXTS, dimensions=8, extra_json=json.dumps({name: "x"}))
    assert sent(request) == ("http://h/embed", {"inputs": ["a", "b"], "dimensions": 8, name: "x"})


def test_a_route_may_ask_for_embed_and_token_ids_are_taken() -> None:
    request = pb.EmbedRequest(inputs=[pb.EmbedInput(tokens=pb.Tokens(ids=[1, 2]))])
    assert sent(request, embeddings_api="embed") == ("http://h/embed", {"inputs": [[1, 2]]})


def test_a_caller_who_wants_bytes_is_asked_for_in_numbers_which_the_gateway_packs() -> None:
    request = pb.EmbedRequest(inputs=TEXTS, encoding=pb.EmbedRequest.ENCODING_BASE64)
    assert sent(request, embeddings_api="embed")[1] == {"inputs": ["a", "b"]}


def test_the_name_of_the_end_user_is_left_out() -> None:
    request = pb.EmbedRequest(inputs=TEXTS, user="u")
    assert sent(request, embeddings_api="embed")[1] == {"inputs": ["a", "b"]}


@pytest.mark.parametrize("inputs", [[], [pb.EmbedInput()]])
@pytest.mark.parametrize("api", ["embed", "openai"])
def test_no_text_is_an_invalid_request(inputs: list[pb.EmbedInput], api: str) -> None:
    with pytest.raises(GatewayError) as caught:
        sent(pb.EmbedRequest(inputs=inputs), embeddings_api=api)
    assert caught.value.kind is Kind.INVALID_REQUEST


def test_both_answers_are_read() -> None:
    answer = SIDE.decode(b" [[0.5,0.25],[1e-3,1]]", CONTEXT)
    assert [(each.index, list(each.values.values)) for each in answer.embeddings] == [
        (0, [0.5, 0.25]),
        (1, [0.001, 1.0]),
    ]
    assert (answer.model, answer.HasField("usage")) == ("bge-small", False)
    body = {"object": "list", "model": "m", "data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 2}}
    answer = SIDE.decode(json.dumps(body).encode(), CONTEXT)
    assert (answer.model, answer.usage.input_tokens, list(answer.embeddings[0].values.values)) == ("m", 2, [0.5])


@pytest.mark.parametrize("body", [b"", b"{}", b"[5]", b'["x"]', b"[[1]", b"5"])
def test_a_body_that_is_no_answer_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        SIDE.decode(body, CONTEXT)
    assert caught.value.kind is Kind.UPSTREAM_PROTOCOL
