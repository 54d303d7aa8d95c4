"""Vectors reach a caller as it asked for them, whatever the provider's format writes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace

import grpc
import pytest

from adapters import Task
from sidecar.v1 import inference_pb2 as pb
from tests.provider import Provider, json_reply
from tests.worker.running import WorkerProcess, route, snapshot
from tests.worker.test_rest import post

NUMBERS = [[0.5, -2.0], [0.25, 1.0]]


async def test_a_provider_of_numbers_answers_callers_who_ask_for_base64(provider: Provider) -> None:
    provider.script = lambda call: json_reply({"predictions": NUMBERS})
    served = route("vectors", Task.EMBEDDINGS, provider.root_url, provider="mlflow-model-serving")
    async with WorkerProcess(snapshot([served])) as worker:
        request = pb.EmbedRequest(route="vectors", inputs=[pb.EmbedInput(text="a"), pb.EmbedInput(text="b")])
        plain = await worker.inference().Embed(request)
        request.encoding = pb.EmbedRequest.ENCODING_BASE64
        packed = await worker.inference().Embed(request)
        body = {"model": "vectors", "input": ["a", "b"], "encoding_format": "base64"}
        answer = await post(worker, "Embeddings", body)
        provider.script = lambda call: json_reply({"predictions": [[1e300]]})
        too_large = await post(worker, "Embeddings", body)
    assert [list(each.values.values) for each in plain.embeddings] == NUMBERS
    assert [each.packed for each in packed.embeddings] == [struct.pack("<2f", *vector) for vector in NUMBERS]
    assert [row["embedding"] for row in answer.json["data"]] == ["AAAAPwAAAMA=", "AACAPgAAgD8="]
    assert too_large.status == 502


def vectors(count: int) -> list[dict[str, object]]:
    return [{"object": "embedding", "index": index, "embedding": [0.5]} for index in range(count)]


ANSWERS: dict[str, Callable[[int], dict[str, object]]] = {
    "openai": lambda count: {"object": "list", "model": "m", "data": vectors(count)},
    "cohere": lambda count: {"id": "1", "embeddings": {"float": [[0.5]] * count}},
    "mlflow-model-serving": lambda count: {"predictions": [[0.5]] * count},
    "mosaicml": lambda count: {"outputs": [[0.5]] * count},
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_as_many_vectors_as_inputs_or_an_error(provider: Provider, name: str) -> None:
    """By REST and by stub, whatever the input is written like: two texts, one of two tokens, two lists of tokens."""
    served = route("vectors", Task.EMBEDDINGS, provider.root_url, provider=name)
    served = replace(served, upstreams=(replace(served.upstreams[0], options={"input_type": "search_query"}),))
    typed = pb.EmbedRequest(route="vectors", inputs=[pb.EmbedInput(text="a"), pb.EmbedInput(text="b")])
    inputs: list[object] = [["a", "b"]] + ([[1, 2], [[1], [2, 3]]] if name == "openai" else [])
    async with WorkerProcess(snapshot([served])) as worker:
        for given in inputs:
            due = 1 if given == [1, 2] else 2
            for count in (due, due - 1, due + 1):
                provider.script = lambda call, count=count: json_reply(ANSWERS[name](count))
                answer = await post(worker, "Embeddings", {"model": "vectors", "input": given})
                assert answer.status == (200 if count == due else 502), (given, count)
                if count != due and count:
                    assert f"{count} vectors for {due} inputs" in answer.error["message"]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await worker.inference().Embed(typed)
    assert "for 2 inputs" in (refused.value.details() or "")
