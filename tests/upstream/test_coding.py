"""Compressed bodies: read exactly, in bounded steps, and a broken one is never taken for a whole one."""

from __future__ import annotations

import gzip
import random
import zlib

import pytest

from sidecar.upstream.coding import STEP_BYTES, Decoder
from sidecar.upstream.failures import BrokenCoding, UnknownCoding

TEXT = random.Random(1).randbytes(5_000) + b"the same again " * 20_000


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKINGS = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without its header": ("deflate", raw_deflate),
    "joined gzip": ("gzip", lambda data: gzip.compress(data[:9_000]) + gzip.compress(data[9_000:])),
    "padded gzip": ("gzip", lambda data: gzip.compress(data) + b"\0" * 100),
}
EACH = pytest.mark.parametrize(("coding", "pack"), PACKINGS.values(), ids=PACKINGS)


def unpacked(coding: str, packed: bytes, step: int) -> bytes:
    decoder = Decoder(coding)
    out = []
    for at in range(0, len(packed), step):
        decoder.feed(packed[at : at + step])
        while piece := decoder.take():
            assert len(piece) <= STEP_BYTES
            out.append(piece)
    decoder.finish()
    return b"".join(out)


@EACH
@pytest.mark.parametrize("step", [1, 2, 7, 1_000, 1 << 20])
def test_what_was_packed_comes_out_however_it_is_cut(coding: str, pack: object, step: int) -> None:
    for text in (TEXT, b"x", b""):
        assert unpacked(coding, pack(text), step) == text  # type: ignore[operator]


@EACH
def test_a_bomb_comes_out_in_small_steps_and_exactly(coding: str, pack: object) -> None:
    size = 20_000_001
    assert unpacked(coding, pack(bytes(size)), 1 << 20) == bytes(size)  # type: ignore[operator]


@EACH
def test_nothing_that_has_come_is_held_back_where_a_step_is_just_full(coding: str, pack: object) -> None:
    """zlib may have read all input and still have output that did not fit."""
    packed = pack(bytes(3 * STEP_BYTES))  # type: ignore[operator]
    bits = {"gzip": 31, "x-gzip": 31}.get(coding, 15 if packed[0] == 0x78 else -15)
    for cut in range(2, 200):
        decoder = Decoder(coding)
        decoder.feed(packed[:cut])
        out = b"".join(iter(decoder.take, b""))
        plain = zlib.decompressobj(bits)
        expected = plain.decompress(packed[:cut])
        assert len(out) == len(expected) or plain.eof, cut  # joined ones are more than that reads


@EACH
def test_half_of_it_is_a_failure(coding: str, pack: object) -> None:
    packed = pack(TEXT).rstrip(b"\0")  # type: ignore[operator]
    for cut in (1, 5, len(packed) // 2, len(packed) - 1):
        if coding != "deflate" or cut > 2:
            with pytest.raises(BrokenCoding):
                unpacked(coding, packed[:cut], 100)


@EACH
def test_junk_after_it_is_a_failure(coding: str, pack: object) -> None:
    with pytest.raises(BrokenCoding):
        unpacked(coding, pack(TEXT) + b"junk", 1_000)  # type: ignore[operator]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_what_is_not_packed_is_a_failure(coding: str) -> None:
    with pytest.raises(BrokenCoding):
        unpacked(coding, b'{"id": "chatcmpl-1", "choices": []}', 10)


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "gzip,br", "chunked", "*"])
def test_another_coding_is_unknown(coding: str) -> None:
    with pytest.raises(UnknownCoding):
        Decoder(coding)
