"""Vectors reach a caller as it asked for them, whatever the provider's format writes."""

from __future__ import annotations

import struct

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
