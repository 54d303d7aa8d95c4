"""Embeddings at Cohere, by both versions of its API."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from adapters import Context, GatewayError, Kind, Target, Task
from adapters.cohere import FORMAT, FORMAT_V1
from adapters.providers import PROVIDERS
from sidecar.v1 import inference_pb2 as pb

CONTEXT = Context(1_700_000_000, lambda prefix: prefix + "1", "embed-v4.0")
SIDE = FORMAT.provider[Task.EMBEDDINGS]
PLAIN = {"model": "embed-v4.0", "texts": ["a"], "input_type": "search_query"}


def target(**options: Any) -> Target:
    return Target(PROVIDERS["cohere"], "embed-v4.0", "https://api.cohere.com", options)


def body_of(request: pb.EmbedRequest, **options: Any) -> Any:
    return json.loads(SIDE.encode(request, target(**options), False, CONTEXT).body)


def embed(extra: str | None = '{"input_type":"search_query"}', **fields: Any) -> pb.EmbedRequest:
    return pb.EmbedRequest(**({"inputs": [pb.EmbedInput(text="a")], "extra_json": extra} | fields))


def test_each_version_has_its_path() -> None:
    for format_, url in ((FORMAT, "https://api.cohere.com/v2/embed"), (FORMAT_V1, "https://api.cohere.com/v1/embed")):
        call = format_.provider[Task.EMBEDDINGS].encode(embed(), target(), False, CONTEXT)
        assert (call.url, json.loads(call.body)) == (url, PLAIN)


def test_what_the_texts_are_for_comes_from_the_request_else_from_the_route() -> None:
    assert body_of(embed(), input_type="clustering") == PLAIN
    assert body_of(embed(None), input_type="clustering") == PLAIN | {"input_type": "clustering"}


def test_without_either_it_is_refused_by_name_with_the_way_out() -> None:
    with pytest.raises(GatewayError) as caught:
        body_of(embed(None))
    assert (caught.value.kind, caught.value.param) == (Kind.INVALID_REQUEST, "input_type")
    assert "search_document" in caught.value.message
    assert "model.config" in caught.value.message


def test_every_field_of_the_request_is_either_sent_or_refused() -> None:
    sent: dict[str, tuple[Any, dict[str, Any]]] = {
        "inputs": ([pb.EmbedInput(text="a"), pb.EmbedInput(text="b")], {"texts": ["a", "b"]}),
        "dimensions": (256, {"output_dimension": 256}),
        "encoding": (pb.EmbedRequest.ENCODING_BASE64, {"embedding_types": ["base64"]}),
        "extra_json": ('{"input_type":"x","truncate":"END"}', {"input_type": "x", "truncate": "END"}),
    }
    assert {field.name for field in pb.EmbedRequest.DESCRIPTOR.fields} == {*sent, "route", "user"}
    for name, (value, made) in sent.items():
        assert body_of(embed(**{name: value})) == PLAIN | made
    assert body_of(embed(user="u")) == PLAIN


@pytest.mark.parametrize("dropped", [(), ("input",)])
def test_token_ids_are_never_let_go(dropped: tuple[str, ...]) -> None:
    with pytest.raises(GatewayError) as caught:
        body_of(embed(inputs=[pb.EmbedInput(tokens=pb.Tokens(ids=[1]))]), drop_params=dropped)
    assert caught.value.param == "input[0]"


@pytest.mark.parametrize(
    "request_",
    [
        embed(inputs=[]),
        embed(inputs=[pb.EmbedInput()]),
        embed('{"texts": []}'),
        embed('{"embedding_types": ["int8"]}', encoding=pb.EmbedRequest.ENCODING_FLOAT),
    ],
)
def test_what_is_malformed_is_an_invalid_request(request_: pb.EmbedRequest) -> None:
    with pytest.raises(GatewayError) as caught:
        body_of(request_)
    assert caught.value.kind is Kind.INVALID_REQUEST


def decoded(embeddings: Any, **more: Any) -> pb.EmbedResponse:
    body = {"id": "1", "embeddings": embeddings, "texts": ["a"]} | more
    answer: pb.EmbedResponse = SIDE.decode(json.dumps(body).encode(), CONTEXT)
    return answer


def test_floats_come_first_and_other_types_stay_beside_them() -> None:
    answer = decoded({"int8": [[1, 2]], "float": [[0.5, 0.25]]}, response_type="embeddings_by_type")
    assert [list(each.values.values) for each in answer.embeddings] == [[0.5, 0.25]]
    assert answer.model == "embed-v4.0"
    assert json.loads(answer.extra_json) == {"id": "1", "texts": ["a"], "embeddings": {"int8": [[1, 2]]}}


def test_packed_vectors_stay_packed_and_version_1s_plain_list_is_read() -> None:
    packed = struct.pack("<2f", 0.5, 0.25)
    answer = decoded({"float": None, "base64": [base64.b64encode(packed).decode()]})
    assert answer.embeddings[0].packed == packed
    assert list(decoded([[0.5]]).embeddings[0].values.values) == [0.5]


def test_counts_are_billed_units_and_other_members_of_meta_stay() -> None:
    meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 4, "image_tokens": 0}}
    answer = decoded({"float": [[1.0]]}, meta=meta)
    assert (answer.usage.input_tokens, answer.usage.HasField("output_tokens")) == (4, False)
    assert json.loads(answer.usage.extra_json) == {"billed_units": {"image_tokens": 0}}
    assert json.loads(answer.extra_json)["meta"] == {"api_version": {"version": "2"}}


@pytest.mark.parametrize("embeddings", [None, {}, {"float": None}, "x", {"float": ["x"]}, {"base64": ["!"]}, [[None]]])
def test_vectors_that_are_none_are_a_protocol_error(embeddings: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        decoded(embeddings)
    assert caught.value.kind is Kind.UPSTREAM_PROTOCOL
