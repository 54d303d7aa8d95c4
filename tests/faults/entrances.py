"""The entrances of the gateway, and what a caller got there: typed gRPC and the doors of REST, at a worker itself and through
each front."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
import httpx
from google.api.httpbody_pb2 import HttpBody

from sidecar.front.programs import PROGRAMS, Program
from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc
from tests.faults.doors import DOORS, PROMPT, Seen
from tests.front.conftest import Front, start_front
from tests.processes import DEADLINE_S, POLL_S
from tests.worker.running import WorkerProcess
from tests.worker.test_typed import details

# Many times what the slowest cell may take.
PATIENCE_S = 120.0
GRPC = "grpc"


@dataclass(frozen=True, slots=True)
class Entrance:
    """`program` is the front's; None: straight at the worker's own socket."""

    program: str | None
    door: str  # one of DOORS, or GRPC

    @property
    def typed(self) -> bool:
        return self.door == GRPC

    def __str__(self) -> str:
        return f"{self.door} {f'through {self.program}' if self.program else 'at a worker'}"


# A worker does not know which front has sent a call: straight at it two are enough.
ENTRANCES = (
    *(Entrance(None, door) for door in (GRPC, "chat")),
    *(Entrance(program, door) for program in PROGRAMS for door in (GRPC, *DOORS)),
)


class Clients:
    """async with Clients(worker) as clients: await clients.ask(entrance, route, streamed=True)

    `http` and `stubs` are clients by the front's name; the stub of None is straight at the worker.
    """

    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker
        self._fronts: dict[str, Front] = {}
        self.http: dict[str, httpx.AsyncClient] = {}
        self.stubs: dict[str | None, Any] = {}
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.stubs[None] = self._worker.inference()
        try:
            for program in PROGRAMS.values():
                await self._start(program)
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def _start(self, program: Program) -> None:
        state = Path(tempfile.mkdtemp(prefix="front-"))
        self._open.callback(shutil.rmtree, state)
        (state / "run").mkdir(mode=0o700)
        socket = state / "run" / "w0.sock"
        assert self._worker.ready.front_path is not None
        socket.symlink_to(self._worker.ready.front_path)
        front = await asyncio.to_thread(start_front, state, program, core_sockets=(socket,))
        self._open.push_async_callback(asyncio.to_thread, front.stop)
        http = self.http[program.name] = await self._open.enter_async_context(front.http(headers=front.bearer))
        async with asyncio.timeout(DEADLINE_S * 3):  # Envoy asks the worker for its health first
            while (await http.get("/health")).status_code != 200:
                await asyncio.sleep(POLL_S)
        channel = await self._open.enter_async_context(front.channel())
        self.stubs[program.name] = inference_pb2_grpc.InferenceServiceStub(channel)
        self._fronts[program.name] = front

    @property
    def logs(self) -> str:
        """All that the fronts said so far."""
        return "".join(front.logs for front in self._fronts.values())

    def metadata(self, entrance: Entrance) -> tuple[tuple[str, str], ...]:
        """What a gRPC call through this entrance must carry."""
        return tuple(self._fronts[entrance.program].bearer.items()) if entrance.program else ()

    async def ask(self, entrance: Entrance, route: str, *, streamed: bool) -> Seen:
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await (self._by_grpc if entrance.typed else self._by_rest)(entrance, route, streamed)
        except (TimeoutError, httpx.HTTPError, json.JSONDecodeError) as error:
            return Seen(repr(error))

    async def _by_grpc(self, entrance: Entrance, route: str, streamed: bool) -> Seen:
        stub, request, metadata = self.stubs[entrance.program], grpc_request(route), self.metadata(entrance)
        upstream, words = None, ""
        try:
            if not streamed:
                answer = await stub.Chat(request, metadata=metadata)
                words = "".join(part.text for part in answer.choices[0].message.content)
                return Seen("OK", upstream=answer.upstream, words=words, text=str(answer))
            async for chunk in stub.StreamChat(request, metadata=metadata):
                upstream = upstream or chunk.upstream
                words += "".join(choice.delta.content for choice in chunk.choices)
        except grpc.aio.AioRpcError as error:
            info: Any = details(error).get("ErrorInfo")
            trailers: Any = error.trailing_metadata() or ()
            pushback = dict(trailers).get("grpc-retry-pushback-ms")
            kind = info.reason.lower() if info is not None else None
            return Seen(
                error.code().name, kind, in_band=upstream is not None, upstream=upstream, words=words, text=str(error),
                should_retry=pushback != "-1",
            )  # fmt: skip
        return Seen("OK", upstream=upstream, words=words)

    async def _by_rest(self, entrance: Entrance, route: str, streamed: bool) -> Seen:
        door = DOORS[entrance.door]
        body = door.body(route, streamed)
        if entrance.program is not None:
            answer = await self.http[entrance.program].post(door.path, json=body)
            return door.read(answer.status_code, dict(answer.headers), answer.text)
        request = HttpBody(data=json.dumps(body).encode())  # as a front calls it
        call = self._worker.rest().ChatCompletions(request, metadata=(("x-sidecar-user", "alice"),))
        headers = dict(await call.initial_metadata())
        headers["content-type"] = headers["x-http-content-type"]
        text = b"".join([part.data async for part in call]).decode()
        return door.read(int(headers["x-http-status"]), headers, text)


def grpc_request(route: str) -> pb.ChatRequest:
    return pb.ChatRequest(route=route, messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text=PROMPT)])])
