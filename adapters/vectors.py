"""The encoding of vectors: OpenAI's SDKs request base64 by default, most formats only write numbers."""

from __future__ import annotations

import struct

from adapters.errors import GatewayError, Kind
from sidecar.v1 import inference_pb2 as pb


def encode_vectors(answer: pb.EmbedResponse, request: pb.EmbedRequest) -> pb.EmbedResponse:
    """The answer, its numbers packed as little-endian 32-bit floats where the request wants base64; changed in place.

    Raises upstream_protocol for a number that no such float can hold.
    """
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
