"""The vectors of an answer: one for each input, encoded as requested. OpenAI's SDKs request base64 by default,
while most formats only return numbers."""

from __future__ import annotations

import struct

import msgspec

from adapters.errors import GatewayError, Kind
from adapters.json_object import ARRAYS, MALFORMED
from sidecar.v1 import inference_pb2 as pb


def inputs_in(raw: bytes) -> int | None:
    """The number of inputs in the `input` of a body: a text and a list of tokens are one each. None if it is
    neither."""
    if raw.startswith(b'"'):
        return 1
    try:
        items: list[msgspec.Raw] = ARRAYS.decode(raw)
    except MALFORMED:
        return None
    one = bool(items) and bytes(items[0])[:1] not in (b'"', b"[")
    return 1 if one else len(items)


def check_count(vectors: int, inputs: int) -> None:
    """Raises upstream_protocol for a mismatch, which would assign vectors to the wrong texts."""
    if vectors != inputs:
        text = f"The provider answered {vectors} vectors for {inputs} inputs."
        raise GatewayError(Kind.UPSTREAM_PROTOCOL, text)


def encode_vectors(answer: pb.EmbedResponse, request: pb.EmbedRequest) -> pb.EmbedResponse:
    """Packs the answer's numbers as little-endian 32-bit floats if the request wants base64; changes it in place.

    Raises upstream_protocol for a number that does not fit, and for more or fewer vectors than inputs.
    """
    check_count(len(answer.embeddings), len(request.inputs))
    if request.encoding != pb.EmbedRequest.ENCODING_BASE64:
        return answer
    for each in answer.embeddings:
        if each.WhichOneof("vector") != "values":
            continue
        values = each.values.values
        try:
            each.packed = struct.pack(f"<{len(values)}f", *values)
        except OverflowError:
            text = "The provider's answer has a number that is no 32-bit float."
            raise GatewayError(Kind.UPSTREAM_PROTOCOL, text) from None
    return answer
