"""Vectors of an answer: as many as there were inputs, and encoded as they were asked for. OpenAI's SDKs ask for base64 by
default, most formats only write numbers."""

from __future__ import annotations

import struct

import msgspec

from adapters.errors import GatewayError, Kind
from adapters.json_object import ARRAYS, MALFORMED
from sidecar.v1 import inference_pb2 as pb


def inputs_in(raw: bytes) -> int | None:
    """How many inputs the `input` of a body has: a text and a list of tokens are one. None where it is neither."""
    if raw.startswith(b'"'):
        return 1
    try:
        items: list[msgspec.Raw] = ARRAYS.decode(raw)
    except MALFORMED:
        return None
    one = bool(items) and bytes(items[0])[:1] not in (b'"', b"[")
    return 1 if one else len(items)


def check_count(vectors: int, inputs: int) -> None:
    """Raises upstream_protocol: whoever pairs texts with vectors would pair the wrong ones."""
    if vectors != inputs:
        text = f"The provider answered {vectors} vectors for {inputs} inputs."
        raise GatewayError(Kind.UPSTREAM_PROTOCOL, text)


def encode_vectors(answer: pb.EmbedResponse, request: pb.EmbedRequest) -> pb.EmbedResponse:
    """The answer, its numbers packed as little-endian 32-bit floats where the request wants base64; changed in place.

    Raises upstream_protocol for a number that no such float can hold, and for more or fewer vectors than inputs.
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
