"""Bytes to answers: the same however they are cut, and nothing but a value or a failure whatever they are."""

from __future__ import annotations

import random

import pytest

from sidecar.upstream.failures import BadHead, BodyBroken, ConnectionLost, Failure, HeadTooLarge, TooManyInformational
from sidecar.upstream.parser import Parser
from tests.scale import scaled

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
GOOD = {
    "length": (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
    "nothing": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "chunks": (CHUNKED + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
    "an empty chunked body": (CHUNKED + b"0\r\n\r\n", b""),
    "extensions": (CHUNKED + b'5;a=b\r\nhello\r\n1 ;c="d;e"\r\n!\r\n0;x\r\n\r\n', b"hello!"),
    "sizes with zeros and capitals": (CHUNKED + b"00A\r\n0123456789\r\n00\r\n\r\n", b"0123456789"),
    "line ends in the text": (CHUNKED + b"8\r\n\r\n0\r\n\r\n.\r\n0\r\n\r\n", b"\r\n0\r\n\r\n."),
    "trailers": (CHUNKED + b"2\r\nok\r\n0\r\nx-t: 1\r\nx-u:\r\n\r\n", b"ok"),
    "interim answers": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"
                        + CHUNKED + b"1\r\n.\r\n0\r\n\r\n", b"."),
}  # fmt: skip


def fed(parser: Parser, *pieces: bytes) -> tuple[int | None, bytes, bool, bool]:
    for piece in pieces:
        parser.feed(piece)
    status = None if parser.head is None else parser.head.status
    return status, b"".join(parser.parts), parser.ended, parser.surplus


@pytest.mark.parametrize(("wire", "body"), GOOD.values(), ids=GOOD)
def test_an_answer_is_the_same_however_it_is_cut(wire: bytes, body: bytes) -> None:
    whole = fed(Parser(), wire)
    assert whole[1:] == (body, True, False)
    assert fed(Parser(), *(wire[i : i + 1] for i in range(len(wire)))) == whole
    for at in range(1, len(wire)):
        assert fed(Parser(), wire[:at], wire[at:]) == whole, at
        for then in range(at + 1, len(wire)):
            assert fed(Parser(), wire[:at], wire[at:then], wire[then:]) == whole, (at, then)


@pytest.mark.parametrize(("wire", "body"), GOOD.values(), ids=GOOD)
def test_an_answer_that_ends_early_is_a_failure_wherever_it_ends(wire: bytes, body: bytes) -> None:
    for at in range(len(wire)):
        parser = Parser()
        if at:
            parser.feed(wire[:at])
        assert not parser.ended
        with pytest.raises((ConnectionLost, BodyBroken)) as caught:
            parser.end_of_input()
        if isinstance(caught.value, ConnectionLost):
            assert caught.value.answered is (at > 0)
        else:
            assert parser.head is not None


@pytest.mark.parametrize(("wire", "body"), GOOD.values(), ids=GOOD)
def test_what_comes_after_an_answer_is_no_part_of_it(wire: bytes, body: bytes) -> None:
    second = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond"
    for pieces in ((wire + second,), (wire, second), (wire[:-1], wire[-1:] + second[:1])):
        assert fed(Parser(), *pieces)[1:] == (body, True, True)


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    parser = Parser()
    assert fed(parser, b"HTTP/1.1 200 OK\r\n\r\nall", b" of it")[1:] == (b"all of it", False, False)
    parser.end_of_input()
    assert parser.ended


@pytest.mark.parametrize(
    "framing",
    [
        b"zz\r\nok\r\n", b"\r\nok", b"-1\r\n", b"+2\r\nok\r\n", b"0x2\r\nok\r\n", b"0X2\r\nok\r\n", b"2_0\r\n",
        b" 2\r\nok\r\n", b"2 \r\nok\r\n", b"2\nok\r\n", b"2\r\nok\n", b"2\r\nokay\r\n", b"2\r\nok\rx", b"2;a\nb\r\nok\r\n",
        b"2;a\0b\r\nok\r\n", b"1" * 16 + b"\r\n", b"2;" + b"x" * 2_000 + b"\r\nok\r\n", b"0\r\nx: a\n\r\n",
        b"0\r\nx : a\r\n\r\n", b"0\r\n x: a\r\n\r\n", b"0\r\nx\r\n\r\n", b"0\r\n\n", b"\xb2\r\nok\r\n",
        b"0\r\nx: " + b"y" * 20_000 + b"\r\n\r\n", b"0\r\n" + b"x: y\r\n" * 5_000,
    ],
)  # fmt: skip
def test_broken_framing_is_refused_as_soon_as_it_can_be_seen(framing: bytes) -> None:
    """However it is cut: neither is it taken, nor does the answer hang until a timeout."""
    for pieces in ((framing,), tuple(framing[i : i + 1] for i in range(len(framing)))):
        with pytest.raises(BodyBroken):
            fed(Parser(), CHUNKED, *pieces)


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok", b"HTTP/1.1 200 OK\r\ncontent-length: 2\n", b"SSH-2.0-x", b"\r\nHTTP/1.1 200",
        b"<html>", b"\0", b"HTTP/2", b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n", b'{"error": 1}',
    ],
)  # fmt: skip
def test_what_cannot_become_a_head_is_refused_before_its_end(wire: bytes) -> None:
    for pieces in ((wire,), tuple(wire[i : i + 1] for i in range(len(wire)))):
        with pytest.raises(BadHead):
            fed(Parser(), *pieces)


@pytest.mark.parametrize("piece", [b"x: " + b"y" * 100 + b"\r\n", b"x" * 100])
def test_a_head_without_an_end_is_refused_in_bounded_memory(piece: bytes) -> None:
    parser = Parser()
    parser.feed(b"HTTP/1.1 200 OK\r\n")
    with pytest.raises(HeadTooLarge):
        fed(parser, *[piece] * 1_000)


def test_interim_answers_are_few_and_small() -> None:
    some = Parser()
    assert fed(some, b"HTTP/1.1 102 Processing\r\n\r\n" * 20, b"HTTP/1.1 204 No Content\r\n\r\n")[0] == 204
    many = b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"
    large = b"HTTP/1.1 103 Early Hints\r\nlink: " + b"a" * 15_000 + b"\r\n\r\n"
    for flood in (many * 40, large * 6):
        with pytest.raises(TooManyInformational):
            fed(Parser(), flood)
        with pytest.raises(TooManyInformational):
            fed(Parser(), *(flood[at : at + 50] for at in range(0, len(flood), 50)))


def test_the_count_of_interim_answers_begins_again_with_each_answer() -> None:
    parser = Parser()
    for _ in range(5):
        parser.start()
        assert fed(parser, b"HTTP/1.1 102 Processing\r\n\r\n" * 20, GOOD["nothing"][0])[2]


@pytest.mark.parametrize("seed", range(scaled(20, 4)))
def test_whatever_bytes_come_the_answer_is_a_value_or_a_failure(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(1_500):
        wire = bytearray(chance.choice(list(GOOD.values()))[0])
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(wire))
            match chance.randrange(4):
                case 0:
                    wire[at] = chance.randrange(256)
                case 1:
                    del wire[at : at + chance.randint(1, 5)]
                case 2:
                    wire[at:at] = chance.choice(
                        [b"\r\n", b"\n", b"0", b"\0", b" ", b"content-length: 3\r\n", b"\r\n\r\n"]
                    )
                case _:
                    wire[at:at] = wire[chance.randrange(len(wire)) :]
            if not wire:
                break
        ends = []
        for cut in (0, chance.randrange(len(wire) + 1)):
            parser = Parser()
            try:
                end: object = fed(parser, *(piece for piece in (bytes(wire[:cut]), bytes(wire[cut:])) if piece))
            except Failure as failure:
                end = type(failure)
            ends.append(end)
        assert ends[0] == ends[1], bytes(wire)
