"""What reads callers' requests and providers' answers costs in proportion to their size, in every format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from llm_gateway_client.sse import Events

from adapters import FORMATS, Context, Format, GatewayError, Provider, Target, Task
from adapters.ndjson import Lines
from adapters.providers import PROVIDERS
from adapters.sse import Parser
from sidecar.domain.call import Call
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import Consumer, Upstream
from sidecar.gateway.estimate import estimate_tokens
from sidecar.gateway.prompt_secrets import _windows
from sidecar.upstream.credentials import redact
from sidecar.v1 import inference_pb2 as pb
from tests.growth.inputs import ANSWERS, CHATS, COMPLETIONS, EMBEDDINGS, ERRORS, STREAMS, Maker, many
from tests.growth.measure import FACTOR_MAX, growth

# Bytes of the small input; the large one has eight times as many. Enough for 10 ns to show in a loop within a loop.
_SIZE = 12_000
_PLANTED_SIZE = 5_000  # what grows as its square takes its time
_CONTEXT = Context(1_700_000_000, lambda prefix: prefix + "1")
_REQUESTS = {Task.CHAT: CHATS, Task.COMPLETIONS: COMPLETIONS, Task.EMBEDDINGS: EMBEDDINGS}
_SECRET = Secret("sk-test-canary-0123456789abcdef")


def _target(format_: str, task: Task) -> Target:
    provider = next((each for each in PROVIDERS.values() if each.format == format_), Provider(format_, format_, None))
    return Target(provider, "m", "http://127.0.0.1/v1", {"default_max_tokens": 10})


def _of_format(makers: dict[str, Maker], format_: str) -> Iterator[tuple[str, Maker]]:
    """Those that begin with a format's name are for that format and its likes."""
    others = {"openai", "huggingface", "anthropic", "cohere"}
    others -= {format_.partition("-")[0]} if format_.startswith(("anthropic", "cohere")) else {"openai", "huggingface"}
    yield from ((what, make) for what, make in makers.items() if what.split()[0] not in others)


def _tolerant(run: Callable[[Any], object]) -> Callable[[Any], object]:
    """A refusal costs too."""

    def tried(made: Any) -> object:
        try:
            return run(made)
        except GatewayError as error:
            return error

    return tried


Case = tuple[str, Callable[[int], Any], Callable[[Any], object]]


def _of_requests() -> Iterator[Case]:
    def reads(side: Any, made: bytes) -> object:
        return side.decode_request(side.open(made))

    for name, format_ in FORMATS.items():
        for task, side in format_.client.items():
            for what, make in _REQUESTS[task].items():
                yield f"{name} {task} reads {what}", make, _tolerant(partial(reads, side))


def _of_encoders() -> Iterator[Case]:
    """Requests as the canonical messages that OpenAI's client side makes of them."""

    def canonical(make: Maker, reader: Any, size: int) -> Any:
        try:
            return reader.decode_request(reader.open(make(size)))
        except GatewayError:
            return None

    def writes(side: Any, target: Target, made: Any) -> object:
        return made and side.encode(made, target, False, _CONTEXT)

    def patches(side: Any, target: Target, reader: Any, made: bytes) -> object:
        return side.patch(reader.open(made), target)

    for name, format_ in FORMATS.items():
        for task, side in format_.provider.items():
            reader, target = FORMATS["openai"].client[task], _target(name, task)
            for what, make in _REQUESTS[task].items():
                run = _tolerant(partial(writes, side, target))
                yield f"{name} {task} writes {what}", partial(canonical, make, reader), run
                if side.patch is not None:
                    yield f"{name} {task} patches {what}", make, _tolerant(partial(patches, side, target, reader))


def _of_answers() -> Iterator[Case]:
    def decodes(side: Any, made: bytes) -> object:
        return side.decode(made, _CONTEXT)

    def redacts(format_: Format, made: bytes) -> object:
        return redact(format_.error(400, {}, made).message, _upstream())

    for name, format_ in FORMATS.items():
        for task, side in format_.provider.items():
            for what, make in _of_format(ANSWERS, name):
                yield f"{name} {task} reads {what}", make, _tolerant(partial(decodes, side))
                if side.check is not None:
                    yield f"{name} {task} checks {what}", make, _tolerant(side.check)
        for what, make in ERRORS.items():
            yield f"{name} reads the error {what}", make, partial(redacts, format_)


def _of_streams() -> Iterator[Case]:
    for name, format_ in FORMATS.items():
        for task, side in format_.provider.items():
            target = _target(name, task)
            for verb, decoder in (("reads", side.stream), ("watches", side.observe)):
                if decoder is None:
                    continue
                for what, make in _of_format(STREAMS, name):

                    def run(made: bytes, side: Any = side, decoder: Any = decoder, target: Target = target) -> object:
                        framing, reader = side.framing(), decoder(target, _CONTEXT)
                        for at in range(0, len(made), 1000):
                            for event in framing.feed(made[at : at + 1000]):
                                reader.feed(event)
                        framing.close()
                        return reader.close()

                    yield f"{name} {task} {verb} a stream of {what}", make, _tolerant(run)


def _of_bytes() -> Iterator[Case]:
    for framing in (Parser, Lines, Events):
        for what, make in STREAMS.items():
            for cut in (7, 65536):

                def run(made: bytes, framing: Any = framing, cut: int = cut) -> None:
                    parser = framing()
                    for at in range(0, len(made), cut):
                        parser.feed(made[at : at + cut])

                yield f"{framing.__module__} cuts {what} in pieces of {cut}", make, run


_RUNS = (
    b"sk-ant-api03-",
    b"sk-",
    b"xoxb-",
    b"-----BEGIN A ",
    b"\\",
    b"\\u0073",
    b"\\/",
    b"a" * 20 + b" ",
    b"a",
    b"a" * 4095 + b" ",
)


def _of_searches() -> Iterator[Case]:
    for unit in _RUNS:
        shown = unit[:14].decode()

        def make(size: int, unit: bytes = unit) -> bytes:
            return unit * (size * 10 // len(unit))

        yield f"a prompt of {shown} is cut", make, lambda made: [len(window) for window in _windows(made, 500)]
        yield f"a prompt of {shown} is estimated", make, lambda made: estimate_tokens(_call(made))
        yield (
            f"an error of {shown} is redacted",
            make,
            lambda made: redact(made[: len(made) // 10].decode(), _upstream()),
        )


def _call(text: bytes) -> Call:
    body = b'{"model":"r","prompt":"base64 %b"}' % text.replace(b"\\", b"\\\\")
    envelope = FORMATS["openai"].client[Task.CHAT].open(body)
    return Call(Task.CHAT, "chat", "r", Consumer("c"), "request-1", envelope=envelope)


def _upstream() -> Upstream:
    return Upstream("openai", "m", "http://127.0.0.1", _SECRET)


@pytest.mark.slow
def test_a_planted_loop_within_a_loop_is_found() -> None:
    def listed(made: bytes) -> None:
        seen: list[bytes] = []
        for word in made.split(b","):
            if word not in seen:
                seen.append(word)

    def joined(made: bytes) -> None:
        buffer = b""
        for at in range(0, len(made), 7):
            buffer += made[at : at + 7]
            buffer.find(b"\n\n")

    def added(made: bytes) -> None:
        message = pb.Message(content=[pb.ContentPart(text="")])
        for _ in made.split(b","):
            message.content[0].text += "words of an answer "

    for loop in (listed, joined, added):
        assert growth(lambda size: ",".join(many("a number #", size)).encode(), loop, _PLANTED_SIZE) > FACTOR_MAX


def _table() -> dict[str, tuple[Callable[[int], Any], Callable[[Any], object]]]:
    groups = (_of_requests, _of_encoders, _of_answers, _of_streams, _of_bytes, _of_searches)
    return {name: (make, run) for group in groups for name, make, run in group()}


TABLE = _table()
# A test is a batch of them: there are some 800, most of which cost a few milliseconds.
_BATCHES = 12


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(_BATCHES))
def test_eight_times_the_input_costs_about_eight_times_as_much(batch: int) -> None:
    factors = {name: growth(*TABLE[name], _SIZE) for name in sorted(TABLE)[batch::_BATCHES]}
    assert {name: round(factor, 1) for name, factor in factors.items() if factor > FACTOR_MAX} == {}
