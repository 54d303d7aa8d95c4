"""Events that repeat earlier ones are not read, and nobody can tell: recorded streams, and some with odd texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from adapters import FORMATS, Envelope, Event, GatewayError, HttpCall, Task, template_of
from sidecar.domain.call import Call
from sidecar.domain.snapshot import Consumer, Upstream
from sidecar.gateway.attempt import PreparedCall, UpstreamPlan
from sidecar.gateway.translator import Translator
from tests.adapters.laws import CONTEXT, Case, cases, events_of
from tests.shared import shared_path

STREAMED = [case for case in cases() if case.streamed and case.task is not Task.EMBEDDINGS]
SAMPLE = 40  # streams that get odd texts, spread evenly
KINDS = ("passed", "REST", "typed")
# What may stand between the quotes of a JSON string, and what may not; and what closes the string and goes on by itself.
ODD = (
    *(b" plain", b"", "é\u2028漢\U0001f600".encode(), b"\xff", b"\xed\xa0\xbd", b"\x7f", b"x" * 20_000),
    *(
        b'\\"',
        b"\\\\",
        b'\\\\\\"',
        b"\\",
        b"\\n\\t",
        b"\\/",
        b"\\x",
        b"\\u00e9",
        b"\\ud83d\\ude00",
        b"\\ud83d",
        b"\\ude00",
    ),
    *(
        b"\n",
        b"\r",
        b"\x00",
        b"\x07",
        b'"',
        b'","a":"b',
        b'"}}],"error":{"message":"no"},"z":[{"b":{"c":"',
        b"zqxMark0",
    ),
    *(b'","finish_reason":"stop","z":"', b'"},"usage":{"prompt_tokens":1},"z":{"c":"', b"[DONE]", b"data: [DONE]\n\n"),
)


def name(case: Case) -> str:
    return f"{case.path.parent.name}-{case.path.stem}"


class Counting:
    """A decoder. `reads` counts what it was fed; one that never `repeats` is fed every event."""

    def __init__(self, decoder: Any, *, repeats: bool) -> None:
        self._decoder = decoder
        self._repeats = repeats
        self.reads = 0

    @property
    def done(self) -> bool:
        done: bool = self._decoder.done
        return done

    @property
    def repeats(self) -> bool:
        return self._repeats and bool(self._decoder.repeats)

    def feed(self, event: Event) -> list[Any]:
        self.reads += 1
        chunks: list[Any] = self._decoder.feed(event)
        return chunks

    def close(self) -> list[Any]:
        chunks: list[Any] = self._decoder.close()
        return chunks


def translated(case: Case, kind: str, pieces: Iterator[bytes], *, repeats: bool) -> tuple[list[Any], int]:
    """All that is known of the stream, and how many events were read."""
    side, target = case.side, case.target
    plan = UpstreamPlan(Upstream("openai", "m", "http://127.0.0.1/v1", None), target, case.format, side, ())
    prepared = PreparedCall(
        plan, side, None if kind == "passed" else object(), HttpCall("http://127.0.0.1", b""), CONTEXT
    )
    envelope = None if kind == "typed" else Envelope({}, "r", stream=True, include_usage=True)
    call = Call(case.task, "stream_chat", "r", Consumer("c"), "request-1", stream=True, envelope=envelope)
    call = call._replace(client_format=None if kind == "typed" else "openai")
    make = (side.observe if kind == "passed" else None) or side.stream
    assert make is not None
    decoder = Counting(make(target, CONTEXT), repeats=repeats)
    translator = Translator(prepared, call, decoder, written(case, kind))
    taken: list[Any] = []
    error = None
    try:
        for piece in pieces:
            translator.feed(piece)
            taken.append(translator.take())
            if translator.done:
                break
        else:
            translator.feed(b"")
    except GatewayError as caught:
        error = (caught.kind, caught.message)
    taken.append(translator.take())
    usage = translator.usage and translator.usage.SerializeToString()
    joined = [each for piece in taken for each in piece] if kind == "typed" else b"".join(taken)
    return [
        joined,
        error,
        usage,
        translator.done,
        translator.output,
        translator.events,
        translator.chars,
    ], decoder.reads


def written(case: Case, kind: str) -> Callable[[Any], bytes]:
    if kind == "typed":
        return lambda chunk: bytes(chunk.SerializeToString())
    encode = FORMATS["openai"].client[case.task].encode_chunk
    assert encode is not None
    return lambda chunk: encode(chunk, True)


def kinds_of(case: Case) -> Iterator[str]:
    yield from KINDS[0 if case.side.patch is not None else 1 :]


@pytest.mark.parametrize("case", STREAMED, ids=name)
def test_a_recorded_stream_is_the_same_whether_repeats_are_read_or_not(case: Case) -> None:
    for kind in kinds_of(case):
        events = events_of(case.sse)
        read, reads = translated(case, kind, iter(events), repeats=False)
        skipped, fewer = translated(case, kind, iter(events), repeats=True)
        assert skipped == read
        assert fewer <= reads + 8  # what finds out what becomes of an event is fed to the decoder, too
        for size in (1009, 5003):  # several events in a piece, too
            cuts = [case.sse[at : at + size] for at in range(0, len(case.sse), size)]
            assert translated(case, kind, iter(cuts), repeats=True)[0] == read


@pytest.mark.parametrize("case", STREAMED[:: max(1, len(STREAMED) // SAMPLE)], ids=name)
def test_odd_texts_do_what_they_do_when_they_are_read(case: Case) -> None:
    events = events_of(case.sse)
    for kind in kinds_of(case):
        for stream in with_odd_texts(events):
            read = translated(case, kind, iter(stream), repeats=False)[0]
            assert translated(case, kind, iter(stream), repeats=True)[0] == read
            together = [*stream[:-5], b"".join(stream[-5:])]
            assert translated(case, kind, iter(together), repeats=True)[0] == read


def with_odd_texts(events: list[bytes]) -> Iterator[list[bytes]]:
    """The beginning of a stream as far as the third event with a text in it, the same event with an odd text, and some more."""
    with_text = [i for i, event in enumerate(events) if template_of(event) is not None]
    for at in with_text[2:3]:
        template = template_of(events[at])
        assert template is not None
        for odd in ODD:
            yield [*events[: at + 1], template.fill([odd] * template.slots), *events[at + 1 : at + 4]]


SEVERAL = (
    b'data: {"delta":{"content":"word"},"id":"1"}\n\n',
    b'event: x\ndata: {"content":"word","obfuscation":"abc"}\n\n',
    b'data: {"content":"a","text":"b","thinking":"c"}\n\n',
)


@pytest.mark.parametrize("event", SEVERAL)
def test_a_run_of_events_is_what_they_are_one_by_one(event: bytes) -> None:
    template = template_of(event)
    assert template is not None
    good = template.fill([b" w"] * template.slots)
    assert template.run(good * 4 + b"data: [DONE]\n\n") == (4, 4 * len(good))
    assert template.run(good) == (0, 0), "one by itself"
    separators = (b"\n", b"\x01", b"\x02", b"a\x01b", b"a\nb")
    for odd in (*ODD, *separators, *template.literals, template.literals[-1] + template.literals[0]):
        for number in range(template.slots):
            texts = [b"w"] * template.slots
            texts[number] = odd
            data = good * 2 + template.fill(texts) + good + b"data: x"
            count, length = template.run(data)
            matched = 0
            while count and matched < length:
                end = data.index(b"\n\n", matched) + 2
                assert template.texts(data[matched:end]) is not None, odd
                matched, count = end, count - 1
            assert (matched, count) == (length, 0)


def test_most_events_of_a_long_stream_are_not_read() -> None:
    """Otherwise the tests above would compare nothing."""
    compared = 0
    for case in STREAMED:
        events = events_of(case.sse)
        texts = [template_of(event) for event in events]
        same = sum(1 for a, b in pairwise(texts) if a and b and a.literals == b.literals)
        if case.format.name in ("openai", "anthropic") and same > len(events) / 2 > 10:
            for kind in kinds_of(case):
                reads = translated(case, kind, iter(events), repeats=True)[1]
                assert reads < len(events) * 3 / 4, (case.path.stem, kind)
                compared += 1
    assert compared or not shared_path()
