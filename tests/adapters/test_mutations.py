"""Whatever a provider or a caller sends, every format gives a value or a GatewayError, in linear time."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters import FORMATS, GatewayError, ProviderSide, Target, Task
from adapters.chunks import accumulate_chat, accumulate_completion, has_output
from adapters.completions_by_chat import completions_by_chat
from adapters.providers import PROVIDERS
from tests.adapters.laws import CONTEXT, Case, cases
from tests.adapters.mutation import mutated_bytes, mutated_json, mutated_stream
from tests.scale import scaled

pytestmark = pytest.mark.slow  # 20 s of processor time

# An example makes several mutations: what a mutation costs is less than what hypothesis needs around it.
MUTATIONS_EACH = 12
SEEDS = st.integers(0, 2**32 - 1)
few = settings(
    max_examples=scaled(250, 25),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    database=None,
)
SAMPLE = 40  # recordings of a format and task, spread evenly
SHORT_BYTES, FACTOR = 30_000, 8
# Quadratic time would take FACTOR times as long as linear does; half of that leaves room for a busy machine.
SLOWER_MAX, NOISE_S = FACTOR / 2, 0.05


def sides() -> Iterator[Any]:
    """Each provider side of each format, and completions over its chat, with the task whose recordings it can read."""
    for name, format_ in FORMATS.items():
        for task, side in format_.provider.items():
            yield pytest.param(name, task, side, task, id=f"{name}-{task}")
        if Task.CHAT in format_.provider:
            side = completions_by_chat(format_.provider[Task.CHAT])
            yield pytest.param(name, Task.COMPLETIONS, side, Task.CHAT, id=f"{name}-completions-by-chat")


SIDES = list(sides())
STREAMED = [param for param in SIDES if param.values[2].stream is not None]


def target_of(format_: str) -> Target:
    row = next(row for row in PROVIDERS.values() if format_ in (row.format, *row.also))
    return Target(row, "llama2", "http://127.0.0.1", {"default_max_tokens": 10})


@cache
def recorded(format_: str, task: Task) -> tuple[Case, ...]:
    """Recordings of the format; of its chat, where the task has none of its own."""
    good = [case for case in cases() if case.status == 200]
    found = [case for case in good if case.row.provider.format == format_ and case.task is task]
    found = found or [case for case in good if case.row.provider.format == format_] or good[:5]
    return tuple(found[:: max(1, len(found) // SAMPLE)])


def bodies(format_: str, task: Task) -> list[Any]:
    found = [case.recording["response"].get("body") for case in recorded(format_, task)]
    return [body for body in found if body is not None] or [{"choices": [{}]}]


def streams(format_: str, task: Task) -> list[bytes]:
    found = [case.sse for case in recorded(format_, task) if "sse" in case.recording["response"]]
    return found or [b'data: {"choices":[]}\n\n']


def read_whole(side: ProviderSide, task: Task, body: bytes) -> None:
    """As the gateway does: decoded, then written for a caller of OpenAI's format."""
    try:
        answer = side.decode(body, CONTEXT)
        FORMATS["openai"].client[task].encode_response(answer)
        answer.SerializeToString()
    except GatewayError:
        pass
    if side.check is not None:
        try:
            side.check(body)
        except GatewayError:
            pass


def read_stream(side: ProviderSide, task: Task, target: Target, data: bytes, cut: int) -> None:
    encode = FORMATS["openai"].client[task].encode_chunk
    assert encode is not None
    assert side.stream is not None
    for make in (side.stream, side.observe):
        if make is None:
            continue
        decoder, framing, chunks = make(target, CONTEXT), side.framing(), list[Any]()
        try:
            for piece in (data[:cut], data[cut:]):
                for event in framing.feed(piece):
                    chunks += decoder.feed(event)
            for event in framing.close():
                chunks += decoder.feed(event)
            chunks += decoder.close()
        except GatewayError:
            pass
        for chunk in chunks:
            has_output(chunk)
            if make is side.stream:
                encode(chunk, True)
        if make is side.stream:
            (accumulate_chat if task is Task.CHAT else accumulate_completion)(chunks).SerializeToString()


@pytest.mark.parametrize(("format_", "task", "side", "read"), SIDES)
def test_a_mutated_answer_is_a_value_or_an_error(format_: str, task: Task, side: ProviderSide, read: Task) -> None:
    seeds = bodies(format_, read)

    @few
    @given(SEEDS)
    def tried(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(MUTATIONS_EACH):
            read_whole(side, task, mutated_json(dice.choice(seeds), dice))

    tried()


def test_a_decoder_that_trusts_its_provider_is_found() -> None:
    honest, dice = FORMATS["openai"].provider[Task.CHAT], random.Random(1)

    def trusting(body: bytes, context: Any) -> Any:
        json.loads(body)["choices"][0]["message"]["content"].strip()
        return honest.decode(body, context)

    def many() -> None:
        for _ in range(100):
            read_whole(replace(honest, decode=trusting), Task.CHAT, mutated_json(bodies("openai", Task.CHAT)[0], dice))

    with pytest.raises((LookupError, TypeError, AttributeError, ValueError)):
        many()


@pytest.mark.parametrize(("format_", "task", "side", "read"), STREAMED)
def test_a_mutated_stream_is_chunks_or_an_error(format_: str, task: Task, side: ProviderSide, read: Task) -> None:
    seeds = [one for one in streams(format_, read) if len(one) < SHORT_BYTES] or streams(format_, read)[:1]
    target = target_of(format_)

    @few
    @given(SEEDS)
    def tried(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(MUTATIONS_EACH // 3):
            data = mutated_stream(dice.choice(seeds), dice)
            read_stream(side, task, target, data, dice.randint(0, len(data)))

    tried()


@pytest.mark.parametrize(("format_", "task", "side", "read"), SIDES)
def test_arbitrary_bytes_are_a_value_or_an_error(format_: str, task: Task, side: ProviderSide, read: Task) -> None:
    target = target_of(format_)

    @few
    @given(st.binary(max_size=200), st.integers(0, 200))
    def tried(data: bytes, cut: int) -> None:
        read_whole(side, task, data)
        if side.stream is not None:
            read_stream(side, task, target, data, cut)
            read_stream(side, task, target, b"data: " + data + b"\n\n", cut)

    tried()


@pytest.mark.parametrize("format_", FORMATS)
def test_any_failed_answer_is_an_error_with_words(format_: str) -> None:
    seeds = [case.body for case in cases() if case.row.provider.format == format_ and case.status != 200][:SAMPLE]
    names = ("retry-after", "retry-after-ms", "content-type", "x-ratelimit-reset-requests")

    @few
    @given(SEEDS, st.integers(-1, 1000), st.dictionaries(st.sampled_from(names), st.text(max_size=20)), st.binary())
    def tried(seed: int, status: int, headers: dict[str, str], noise: bytes) -> None:
        dice = random.Random(seed)
        body = dice.choice(seeds or [b'{"error": {"message": "no", "type": "x"}}'])
        try:
            structured = mutated_json(json.loads(body), dice)
        except ValueError:
            structured = body
        for one in (structured, mutated_bytes(body, dice), noise):
            failure = FORMATS[format_].error(status, headers, one)
            assert failure.message
            assert failure.retry_after_s is None or failure.retry_after_s >= 0

    tried()


def _requests(format_: str) -> list[dict[str, Any]]:
    """Recorded ones; of MLflow's dialect, which nobody records, OpenAI's in its words."""
    if FORMATS[format_].provider:
        return [case.request | {"model": "m"} for case in cases() if case.row.provider.format == format_]
    names = {"n": "candidate_count", "input": "text"}
    left_out = {"model", "stream", "temperature"}
    return [
        {names.get(name, name): value for name, value in case.request.items() if name not in left_out}
        for case in cases()
        if case.row.provider.format == "openai"
    ]


@pytest.mark.parametrize("format_", [name for name, format_ in FORMATS.items() if format_.client])
def test_a_mutated_request_is_a_call_or_an_error_at_every_provider(format_: str) -> None:
    found = _requests(format_)[::7]
    targets = [(Target(row, "llama2", "http://127.0.0.1"), FORMATS[row.format]) for row in PROVIDERS.values()]

    @few
    @given(SEEDS)
    def tried(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(MUTATIONS_EACH):
            task, client = dice.choice(list(FORMATS[format_].client.items()))
            target, theirs = dice.choice(targets)
            try:
                envelope = client.open(mutated_json(dice.choice(found), dice))
                request = client.decode_request(envelope)
                if client.fit is not None:
                    request = client.fit(request, target)
                if side := theirs.provider.get(task):
                    json.loads(side.encode(request, target, envelope.stream, CONTEXT).body)
                    if side.patch is not None:
                        json.loads(side.patch(envelope, target).body)
            except GatewayError:
                pass

    tried()


def cpu_s(run: Callable[[], object]) -> float:
    """Of three runs the quickest: others work on this machine too."""
    took = []
    for _ in range(3):
        begun = time.process_time()
        run()
        took.append(time.process_time() - begun)
    return min(took)


def grows_linearly(run: Callable[[int], object]) -> bool:
    short, long = cpu_s(lambda: run(SHORT_BYTES)), cpu_s(lambda: run(SHORT_BYTES * FACTOR))
    return long <= short * FACTOR * SLOWER_MAX + NOISE_S


def hostile(stream: bytes, size: int) -> Iterator[bytes]:
    """Bodies and streams of about `size` bytes that a careless reader takes long for."""
    for piece in (b"[", b'{"a":', b'"', b"\\", b"data:\n", b"\r", b"data: {}\n\n", b'{"choices":['):
        yield piece * (size // len(piece))
    events = stream.split(b"\n\n")
    middle = b"\n\n".join(events[1:-2] or events[:1]) + b"\n\n"
    yield events[0] + b"\n\n" + middle * max(1, size // len(middle))


@pytest.mark.parametrize(("format_", "task", "side", "read"), STREAMED)
def test_a_stream_eight_times_as_long_takes_about_eight_times_as_long(
    format_: str, task: Task, side: ProviderSide, read: Task
) -> None:
    stream, target = streams(format_, read)[0], target_of(format_)
    for kind in range(len(list(hostile(stream, SHORT_BYTES)))):

        def run(size: int, kind: int = kind) -> None:
            data = list(hostile(stream, size))[kind]
            decoder, framing = side.stream(target, CONTEXT), side.framing()  # type: ignore[misc]
            try:
                for at in range(0, len(data), 1000):
                    for event in framing.feed(data[at : at + 1000]):
                        decoder.feed(event)
                decoder.close()
            except GatewayError:
                pass

        assert grows_linearly(run), f"hostile input {kind}"


@pytest.mark.parametrize(("format_", "task", "side", "read"), SIDES)
def test_a_body_eight_times_as_long_takes_about_eight_times_as_long(
    format_: str, task: Task, side: ProviderSide, read: Task
) -> None:
    for kind in range(len(list(hostile(b"x", SHORT_BYTES)))):

        def run(size: int, kind: int = kind) -> None:
            read_whole(side, task, list(hostile(b"x", size))[kind])

        assert grows_linearly(run), f"hostile input {kind}"


def test_a_reader_that_takes_quadratic_time_is_found() -> None:
    def quadratic(size: int) -> None:
        held = ""
        for _ in range(size // 40):
            held = (held + "x" * 40)[::-1]

    assert not grows_linearly(quadratic)
