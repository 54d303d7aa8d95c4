"""Every mode x streamed or not x service x format x with or without a fallback, each cell with a route of its own."""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import grpc.aio
from google.api.httpbody_pb2 import HttpBody

from adapters import Kind, Task
from sidecar.secret import Secret
from sidecar.snapshot import Retries, Route, Snapshot, Timeouts, Upstream
from sidecar.v1 import inference_pb2 as pb
from tests.core.test_typed import details
from tests.core.worker import WorkerProcess
from tests.faults.modes import ANSWER_BYTES_MAX, MODES, Mode
from tests.provider import Call, Provider, Reply, default_reply

KEY = "sk-canary-0123456789abcdefghijklmnop"
FORMATS = ("openai", "anthropic")
# Long for anything that is well, even on a loaded machine; waited for by all quiet cells at the same time.
QUIET = Timeouts(connect_s=2.0, first_output_s=2.0, idle_s=2.0, total_s=4.0)
RETRIES = Retries(budget=1, backoff_s=0.01)
# Kinds -> gRPC code and HTTP status, and what may be done about them: as docs/errors.md and docs/reliability.md have it.
CODES = {
    Kind.INVALID_REQUEST: ("INVALID_ARGUMENT", 400),
    Kind.REQUEST_TOO_LARGE: ("INVALID_ARGUMENT", 413),
    Kind.RATE_LIMITED: ("RESOURCE_EXHAUSTED", 429),
    Kind.QUOTA_EXHAUSTED: ("RESOURCE_EXHAUSTED", 429),
    Kind.UPSTREAM_TIMEOUT: ("DEADLINE_EXCEEDED", 504),
    Kind.UPSTREAM_UNAVAILABLE: ("UNAVAILABLE", 503),
    Kind.UPSTREAM_REJECTED_CREDENTIALS: ("FAILED_PRECONDITION", 424),
    Kind.UPSTREAM_NOT_FOUND: ("FAILED_PRECONDITION", 424),
    Kind.UPSTREAM_PROTOCOL: ("INTERNAL", 502),
    Kind.UPSTREAM_INTERRUPTED: ("UNAVAILABLE", 502),
}
PASSING = frozenset({Kind.RATE_LIMITED, Kind.UPSTREAM_UNAVAILABLE})
ONLY_THE_REQUESTS = frozenset({Kind.INVALID_REQUEST, Kind.REQUEST_TOO_LARGE})


@dataclass(frozen=True, slots=True)
class Cell:
    """One call and what is to come of it."""

    number: int
    mode: Mode
    streamed: bool
    front: str
    format: str
    fallback: bool

    @property
    def route(self) -> str:
        return f"cell-{self.number}"

    @property
    def kind(self) -> Kind | None:
        """What the first upstream's answer means."""
        return self.mode.stream if self.streamed else self.mode.unary

    @property
    def in_band(self) -> bool:
        return self.streamed and self.mode.interrupts

    @property
    def falls_back(self) -> bool:
        return self.fallback and self.kind is not None and not self.in_band and self.kind not in ONLY_THE_REQUESTS

    @property
    def failure(self) -> Kind | None:
        """What the caller hears."""
        return None if self.falls_back else self.kind

    @property
    def attempts(self) -> int:
        """At the first upstream."""
        again = self.kind in PASSING and not self.in_band and not self.fallback and not self.mode.waits
        return 2 if again else 1

    @property
    def provider_calls(self) -> int:
        return self.attempts if self.mode.where == "provider" else 0

    @property
    def name(self) -> str:
        words = (self.mode.id, "stream" if self.streamed else "unary", self.front, self.format)
        return ", ".join(words) + self.fallback * ", with a fallback"


@dataclass(slots=True)
class Seen:
    """What the caller got: a code and a kind, None where all was well."""

    code: str | int
    kind: str | None = None
    in_band: bool = False
    upstream: str | None = None
    text: str = ""  # all of it, to look for secrets
    should_retry: bool | None = None


def cells(fronts: tuple[str, ...]) -> list[Cell]:
    axes = itertools.product(MODES, (False, True), fronts, FORMATS, (False, True))
    return [Cell(number, *axis) for number, axis in enumerate(axes)]


def snapshot(all_cells: list[Cell], addresses: dict[str, str], well: Provider) -> Snapshot:
    """`addresses`: Mode.where -> root URL."""
    return Snapshot({cell.route: _route(cell, addresses[cell.mode.where], well) for cell in all_cells}, "0" * 12)


def _route(cell: Cell, root_url: str, well: Provider) -> Route:
    upstreams = [_upstream(cell.format, root_url, cell.route)]
    if cell.fallback:  # in the other format
        other = FORMATS[1 - FORMATS.index(cell.format)]
        upstreams.append(replace(_upstream(other, well.root_url, cell.route), name="spare"))
    timeouts = QUIET if cell.mode.quiet else Timeouts()
    return Route(cell.route, Task.CHAT, tuple(upstreams), timeouts, ANSWER_BYTES_MAX, retries=RETRIES)


def _upstream(format_: str, root_url: str, model: str) -> Upstream:
    base_url = root_url if format_ == "anthropic" else f"{root_url}/v1"
    return Upstream(format_, model, base_url, Secret(KEY))


def healthy(call: Call) -> Reply:
    """On a connection of its own, so that no call finds a kept one."""
    return replace(default_reply(call, call.json), then_close="announced")


def script(all_cells: list[Cell]) -> Callable[[Call], Reply]:
    """Each call is answered as its model's cell says."""
    modes = {cell.route: cell.mode for cell in all_cells}

    def reply(call: Call) -> Reply:
        played = modes[call.json["model"]].reply(call, healthy(call))
        return played if played.then_close else replace(played, then_close="announced")

    return reply


async def by_stub(worker: WorkerProcess, cell: Cell) -> Seen:
    message = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="one two three four five")])
    request = pb.ChatRequest(route=cell.route, messages=[message])
    stub = worker.inference()
    upstream = None
    try:
        if not cell.streamed:
            answer = await stub.Chat(request)
            return Seen("OK", upstream=answer.upstream, text=str(answer))
        async for chunk in stub.StreamChat(request):
            upstream = upstream or chunk.upstream
    except grpc.aio.AioRpcError as error:
        info: Any = details(error).get("ErrorInfo")
        trailers: Any = error.trailing_metadata() or ()
        pushback = dict(trailers).get("grpc-retry-pushback-ms")
        kind = info.reason.lower() if info is not None else None
        return Seen(error.code().name, kind, upstream is not None, upstream, str(error), pushback != "-1")
    return Seen("OK", upstream=upstream)


async def by_rest(worker: WorkerProcess, cell: Cell) -> Seen:
    """RestService over the front socket, as a front proxy calls it."""
    body: dict[str, Any] = {"model": cell.route, "messages": [{"role": "user", "content": "one two three four five"}]}
    request = HttpBody(data=json.dumps({**body, "stream": cell.streamed}).encode())
    call = worker.rest().ChatCompletions(request, metadata=(("x-sidecar-user", "alice"),))
    headers = dict(await call.initial_metadata())
    text = b"".join([part.data async for part in call]).decode()
    status = int(headers["x-http-status"])
    upstream = headers.get("x-sidecar-upstream")
    retry = headers.get("x-should-retry") != "false"
    if status != 200:
        return Seen(status, json.loads(text)["error"]["code"], False, upstream, text + str(headers), retry)
    if not cell.streamed:
        assert json.loads(text)["choices"]
        return Seen(200, upstream=upstream, text=text)
    events = [
        line[6:] for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.startswith("data: ")
    ]
    if events[-1] == "[DONE]" or "data: [DONE]" in text:
        return Seen(200, upstream=upstream, text=text)
    return Seen(200, json.loads(events[-1])["error"]["code"], True, upstream, text)


Ask = Callable[[WorkerProcess, Cell], Awaitable[Seen]]
FRONTS: dict[str, Ask] = {"stub": by_stub, "rest": by_rest}


@dataclass(slots=True)
class Verdict:
    """What was wrong with a cell; empty where nothing was."""

    cell: Cell
    wrong: list[str] = field(default_factory=list)

    def same(self, what: str, seen: object, wanted: object) -> None:
        if seen != wanted:
            self.wrong.append(f"{what} {seen!r}, not {wanted!r}")


def judge(cell: Cell, seen: Seen) -> Verdict:
    """By what the caller saw alone."""
    verdict = Verdict(cell)
    failure = cell.failure
    code, status = CODES[failure] if failure is not None else ("OK", 200)
    verdict.same("code", seen.code, code if cell.front == "stub" else 200 if cell.in_band else status)
    verdict.same("in-band", seen.in_band, failure is not None and cell.in_band)
    if failure is None or cell.front == "stub":  # over REST the provider's own word stands there where it has one
        verdict.same("kind", seen.kind, failure.value if failure else None)
    if failure is None:
        verdict.same("upstream", seen.upstream, "spare" if cell.falls_back else cell.format)
    elif not seen.kind:
        verdict.wrong.append("no code")
    elif not cell.in_band and not (cell.front == "rest" and status < 424):
        verdict.same("may retry", seen.should_retry, failure in PASSING and cell.mode.waits and not cell.fallback)
    if KEY[:12] in seen.text:
        verdict.wrong.append("the key was shown")
    return verdict
