"""A large message that is parsed in slices is the message that was sent, and a broken one is refused as ever."""

from __future__ import annotations

import random

import pytest
from google.protobuf.message import DecodeError

from sidecar.transport.slices import SLICE_BYTES, parsed
from sidecar.v1 import inference_pb2 as pb

# A field that nobody knows of each kind, with numbers of one and of more bytes: varint, eight bytes, text, four bytes.
UNKNOWN = b"\xb8\x3e\x96\x01" + b"\xb9\x3e" + bytes(8) + b"\xba\x3e\x03abc" + b"\xbd\x3e" + bytes(4)


def history(size: int) -> bytes:
    """Fields in turn that repeat, overwrite and merge, with some that are unknown among them."""
    chance = random.Random(1)
    parts, total = [], 0
    while total < size:
        message = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="x" * chance.randrange(400))])
        request = pb.ChatRequest(route=f"route {total}", messages=[message], temperature=chance.random(), n=3)
        parts += [request.SerializeToString(), UNKNOWN]
        total += len(parts[-2]) + len(UNKNOWN)
    return b"".join(parts)


@pytest.mark.parametrize("size", [0, 1000, SLICE_BYTES, 3 * SLICE_BYTES])
def test_the_slices_of_a_message_are_the_message(size: int) -> None:
    data = history(size)
    whole, sliced = pb.ChatRequest.FromString(data), parsed(pb.ChatRequest, data)
    assert sliced == whole
    assert sliced.SerializeToString(deterministic=True) == whole.SerializeToString(deterministic=True)


def test_one_field_larger_than_a_slice_is_read_whole() -> None:
    request = pb.EmbedRequest(route="r", inputs=[pb.EmbedInput(text="y" * (2 * SLICE_BYTES)), pb.EmbedInput(text="z")])
    assert parsed(pb.EmbedRequest, request.SerializeToString()) == request


@pytest.mark.parametrize(
    "end",
    [
        b"\xff",
        b"\x0a",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x0a\x05abc",
        b"\x0b",
        b"\x00",
        b"\x79abc",
    ],
)
def test_what_the_parser_refuses_in_one_it_refuses_in_slices(end: bytes) -> None:
    data = history(SLICE_BYTES + 1000) + end
    with pytest.raises(DecodeError):
        pb.ChatRequest.FromString(data)
    with pytest.raises(DecodeError):
        parsed(pb.ChatRequest, data)
