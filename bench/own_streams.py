"""`python -m bench.own_streams`: CPU of our own code per chunk of a stream, in one process and without a network.

The real servicers, gateway, adapters and HTTP client run. The provider's socket is replaced by an object that
delivers recorded bytes, one read per turn of the loop, and the caller's connection by one that encodes messages and
drops them. The cost of a chunk is the difference between 200 and 20 chunks, divided by 180.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import pstats
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, cast

import uvloop
from google.api.httpbody_pb2 import HttpBody

from adapters import Task
from bench.upstream import stream_answer
from sidecar.conversations import DiskMemory
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import Route, Snapshot, Upstream
from sidecar.gateway.gateway import Gateway
from sidecar.telemetry.metrics import Metrics
from sidecar.transport import Listener
from sidecar.transport.health import HealthServicer
from sidecar.upstream import UpstreamClient
from sidecar.upstream.connection import Connection
from sidecar.upstream.dial import Dialer, Place
from sidecar.upstream.gathering import Gathering, Rest
from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import rest_pb2
from sidecar.worker.inference import InferenceServicer
from sidecar.worker.rest import RestServicer
from sidecar.worker.route_changes import RouteChanges

SHORT, LONG = 20, 200
_MESSAGES = [{"role": "user", "content": "Count."}]
_BODY = {"model": "r", "stream": True, "messages": _MESSAGES}
_BODIES = {
    "CreateMessage": {**_BODY, "max_tokens": 100},
    "CreateResponse": {"model": "r", "stream": True, "input": _MESSAGES},
}


def openai_answer(chunks: int) -> list[bytes]:
    return stream_answer(chunks)


def event(name: str, **members: Any) -> bytes:
    data = json.dumps({"type": name, **members}, separators=(",", ":"))
    return f"event: {name}\ndata: {data}\n\n".encode()


def anthropic_answer(chunks: int) -> list[bytes]:
    """The same text, as the Messages API streams it."""
    return _block(chunks, {"type": "text", "text": ""}, {"type": "text_delta", "text": " tokens"})


def anthropic_thoughts(chunks: int) -> list[bytes]:
    """A thought with as many pieces."""
    return _block(chunks, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": " tokens"})


def anthropic_arguments(chunks: int) -> list[bytes]:
    """A call whose arguments are a list of as many numbers."""
    block = {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {}}
    return _block(chunks, block, {"type": "input_json_delta", "partial_json": "1234, "}, "tool_use")


def responses_answer(chunks: int) -> list[bytes]:
    """The text as the Responses API streams it: each event has its own number."""
    head = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "in_progress", "output": []}
    part = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": []}
    names = ["response.created", "response.output_item.added", *["response.output_text.delta"] * (chunks - 3)]
    more: list[dict[str, Any]] = [{"response": head}, {"output_index": 0, "item": item}]
    more += [{**part, "delta": " tokens", "logprobs": []}] * (chunks - 3)
    usage = {"input_tokens": 12, "output_tokens": chunks, "total_tokens": chunks + 12}
    names.append("response.completed")
    more.append({"response": {**head, "status": "completed", "output": [item], "usage": usage}})
    events = [event(name, sequence_number=n, **each) for n, (name, each) in enumerate(zip(names, more, strict=True))]
    return _written(events)


def _block(chunks: int, block: dict[str, Any], delta: dict[str, Any], reason: str = "end_turn") -> list[bytes]:
    usage = {"input_tokens": 12, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    events = [event("message_start", message=message)]
    events[0] += event("content_block_start", index=0, content_block=block)
    events += [event("content_block_delta", index=0, delta=delta)] * (chunks - 2)
    end = {"stop_reason": reason, "stop_sequence": None}
    events.append(event("content_block_stop", index=0))
    events[-1] += event("message_delta", delta=end, usage={"output_tokens": chunks}) + event("message_stop")
    return _written(events)


def _written(events: list[bytes]) -> list[bytes]:
    """One HTTP chunk each."""
    writes = [b"%x\r\n%b\r\n" % (len(each), each) for each in events]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return [head + writes[0], *writes[1:-1], writes[-1] + b"0\r\n\r\n"]


class Provider(asyncio.Transport):
    """Answers what is written to it."""

    def __init__(self, connection: Connection, reads: Sequence[bytes]) -> None:
        super().__init__()
        self._connection = connection
        self._reads = reads
        self._at = len(reads)
        self._paused = False

    def write(self, data: Any) -> None:
        self._at = 0
        self._soon()

    def _soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        if self._at < len(self._reads) and not self._paused:
            self._at += 1
            self._connection.data_received(self._reads[self._at - 1])
            self._soon()

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._soon()

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        self._at = len(self._reads)


class _AtOnce(Gathering):
    """No time passes here: a resting stream is woken in the next turn."""

    def rest(self, stream: Rest) -> None:
        asyncio.get_running_loop().call_soon(stream.wake)


class MemoryDialer(Dialer):
    def __init__(self, reads: Sequence[bytes]) -> None:
        super().__init__()
        self._reads = reads

    async def dial(self, place: Place) -> Connection:
        connection = Connection(_AtOnce())
        connection.connection_made(Provider(connection, self._reads))
        return connection


class Caller:
    """The Context of a call. Encodes what is written, as a transport does."""

    listener = Listener.FRONT
    request_bytes = 100

    def __init__(self) -> None:
        self.messages = 0

    def peer(self) -> str:
        return "unix:"

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]]:
        return (("x-sidecar-user", "bench"), ("x-request-id", "bench-0001"))

    @property
    def deadline(self) -> float | None:
        return None

    def time_remaining(self) -> float | None:
        return 60.0

    async def send_initial_metadata(self, metadata: Any) -> None:
        pass

    def set_trailing_metadata(self, metadata: Any) -> None:
        pass

    def trailing_metadata(self) -> Any:
        return ()

    async def write(self, message: Any) -> None:
        self.begin_write(message)

    def begin_write(self, *messages: Any) -> Awaitable[None] | None:
        for message in messages:
            if type(message) is not bytes:
                message.SerializeToString()
        self.messages += len(messages)
        return None

    def begin_answer(self, metadata: Any, *messages: Any) -> Awaitable[None] | None:
        return self.begin_write(*messages)

    async def abort(self, code: Any, message: str = "", trailing_metadata: Any = ()) -> Any:
        raise RuntimeError(f"{code}: {message}")


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    provider: str
    answer: Callable[[int], list[bytes]]
    typed: bool
    together: int = 1  # chunks per read
    door: str = "ChatCompletions"  # the RPC of a REST case


CASES = (
    Case("REST, passed", "openai", openai_answer, typed=False),
    Case("REST, passed, 5 chunks a read", "openai", openai_answer, typed=False, together=5),
    Case("REST, translated", "anthropic", anthropic_answer, typed=False),
    Case("REST, translated, 5 chunks a read", "anthropic", anthropic_answer, typed=False, together=5),
    Case("Messages, passed", "anthropic", anthropic_answer, typed=False, door="CreateMessage"),
    Case("Messages, thoughts passed", "anthropic", anthropic_thoughts, typed=False, door="CreateMessage"),
    Case("Messages, arguments passed", "anthropic", anthropic_arguments, typed=False, door="CreateMessage"),
    Case("Messages, translated", "openai", openai_answer, typed=False, door="CreateMessage"),
    Case("Responses, passed", "openai", responses_answer, typed=False, door="CreateResponse"),
    Case("Responses, translated", "anthropic", anthropic_answer, typed=False, door="CreateResponse"),
    Case("typed", "openai", openai_answer, typed=True),
    Case("typed, 5 chunks a read", "openai", openai_answer, typed=True, together=5),
)


def reads_of(case: Case, chunks: int) -> list[bytes]:
    writes = case.answer(chunks)
    return [b"".join(writes[at : at + case.together]) for at in range(0, len(writes), case.together)]


async def cpu_us(
    case: Case, chunks: int, streams: int, profile: cProfile.Profile | None = None, body: bytes | None = None
) -> float:
    """CPU of one stream, the minimum of five rounds. `body` is the request's, in place of a small one."""
    upstream = Upstream(provider=case.provider, model="m", base_url="http://127.0.0.1:1/v1", key=Secret("k"))
    client = UpstreamClient(MemoryDialer(reads_of(case, chunks)))
    gateway = Gateway(Snapshot({"r": Route("r", Task.CHAT, (upstream,))}, "0" * 12), client, Metrics())
    rest, typed = (
        RestServicer(gateway, RouteChanges(gateway, cast(Any, None)), HealthServicer(), DiskMemory(None, lambda: None)),
        InferenceServicer(gateway),
    )
    data = json.dumps(_BODIES.get(case.door, _BODY)).encode() if body is None else body
    http = HttpBody(content_type="application/json", data=data)
    request = pb.ChatRequest(
        route="r", messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Count.")])]
    )

    sent = rest_pb2.CreateMessageRequest(body=http) if case.door == "CreateMessage" else http

    async def one() -> None:
        caller = Caller()
        await (typed.StreamChat(request, caller) if case.typed else getattr(rest, case.door)(sent, caller))
        if not caller.messages:
            raise RuntimeError(f"{case.name}: nothing came")

    rounds = []
    await one()
    with profile or nullcontext():
        for _ in range(5):
            began = time.process_time()
            for _ in range(streams):
                await one()
            rounds.append((time.process_time() - began) / streams * 1e6)
    await gateway.close()
    await client.close()
    return min(rounds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.own_streams", description=__doc__)
    parser.add_argument("--streams", type=int, default=40, help="streams a round")
    parser.add_argument("--only", default="", help="cases whose names have this")
    parser.add_argument("--profile", action="store_true", help="where the time of each case goes, instead")
    arguments = parser.parse_args()
    for case in CASES:
        if arguments.only not in case.name:
            continue
        if arguments.profile:
            profile = cProfile.Profile()
            uvloop.run(cpu_us(case, LONG, arguments.streams, profile))
            pstats.Stats(profile).sort_stats("tottime").print_stats(28)
            continue
        short, long = (uvloop.run(cpu_us(case, chunks, arguments.streams)) for chunks in (SHORT, LONG))
        each = (long - short) / (LONG - SHORT)
        print(f"{case.name:36} {each:6.2f} µs a chunk, {short - each * SHORT:6.0f} µs a stream beside them", flush=True)


if __name__ == "__main__":
    main()
