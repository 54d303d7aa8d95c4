"""The benchmark tells the truth about what it can check here: errors, due times, CPU."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import grpc

from bench.load import GRPC_CHANNELS, Call, Plan, Run, grpc_call, rest_call
from bench.run import Measured as Row
from bench.run import cpu_by_process, percentile, table
from bench.stack import Usage, read_env, upstream, usages
from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc as pb_grpc
from tests.processes import RunningProcess, free_port, wait_until
from tests.provider import Provider


def plan(protocol: str, target: str, *, streamed: bool = False, rate_per_s: float = 0.0) -> Plan:
    return Plan(protocol, target, "bench", streamed=streamed, calls=10, in_flight=4, rate_per_s=rate_per_s)


async def played(plan: Plan) -> Run:
    async with AsyncExitStack() as stack:
        call = await (grpc_call if plan.protocol == "grpc" else rest_call)(plan, stack)
        run = Run(plan, call)
        await (run.open(plan.calls) if plan.rate_per_s else run.closed(plan.calls))
        return run


async def test_every_call_reaches_the_mock_unary_and_streamed() -> None:
    with upstream(chunks=50, gap_ms=0) as url:
        for streamed in (False, True):
            result = (await played(plan("rest", url, streamed=streamed))).result(1.0)
            assert (len(result.total_s), result.errors) == (10, {})


async def test_failed_calls_are_errors_and_no_latencies(provider: Provider) -> None:
    failing = Plan("rest", provider.base_url, "sim:status=500", streamed=False, calls=3, in_flight=1, rate_per_s=100)
    result = (await played(failing)).result(1.0)
    assert (result.total_s, sum(result.errors.values())) == ([], 3)
    result = (await played(plan("grpc", f"127.0.0.1:{free_port()}"))).result(1.0)
    assert (result.total_s, result.errors) == ([], {"UNAVAILABLE": 10})


async def test_a_stream_without_its_end_is_an_error(provider: Provider) -> None:
    broken = Plan("rest", provider.base_url, "sim:no_done=1", streamed=True, calls=3, in_flight=1)
    assert (await played(broken)).result(1.0).errors == {"stream without [DONE]": 3}


async def test_in_the_open_loop_a_late_call_counts_from_when_it_was_due() -> None:
    async def stalls_the_loop(number: int) -> float:
        if number == 0:
            time.sleep(0.1)  # noqa: ASYNC251 - the fault: nothing else runs meanwhile
        return time.perf_counter()

    call: Call = stalls_the_loop
    run = Run(plan("rest", "", rate_per_s=1000), call)
    await run.open(10)
    assert max(run.result(1.0).total_s[1:]) > 0.05


def test_the_cpu_of_a_child_process_is_seen_and_idle_ones_cost_nothing() -> None:
    burn = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    with RunningProcess.python("-c", burn) as busy, RunningProcess.python("-c", "import time; time.sleep(60)") as idle:
        wait_until(lambda: sum(usage.cpu_s for usage in usages(busy.pid).values()) > 0.3)
        first = usages(idle.pid)
        assert cpu_by_process(first, usages(idle.pid), 1) == {"supervisor": 0.0}
        assert len(usages(busy.pid)) == 2
        assert all(usage.rss_bytes > 0 for usage in first.values())


def test_cpu_is_added_up_by_kind_of_process_and_divided_by_calls() -> None:
    before = {1: Usage("core worker", 1.0, 1), 2: Usage("core worker", 1.0, 1)}
    after = {1: Usage("core worker", 2.0, 1), 2: Usage("core worker", 2.0, 1), 3: Usage("nginx worker", 0.5, 1)}
    assert cpu_by_process(before, after, 1000) == {"core worker": 2000.0, "nginx worker": 500.0}


def test_the_table_shows_what_is_added() -> None:
    direct = Row("c", "direct", 1, {}, 1.0, 1.0, 2.0, 1.0)
    rest = Row("c", "rest", 1, {"status 500": 2}, 1.0, 1.5, 4.0, 1.25, 300.0, {"core worker": 300.0})
    text = table([direct, rest])
    assert "+0.50" in text
    assert "+2.00" in text
    assert "2 x status 500" in text


def test_percentiles_are_in_milliseconds() -> None:
    assert percentile([index / 1000 for index in range(101)], 99) == 99.0


def test_an_env_file_made_for_source_is_read(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# made by up\nexport A='x y'\nB=https://h:1\n")
    assert read_env(tmp_path / "env") == {"A": "x y", "B": "https://h:1"}


def test_a_plan_survives_the_command_line() -> None:
    one = plan("grpc", "h:1", rate_per_s=5.0)
    assert Plan(**json.loads(json.dumps(asdict(one)))) == one


class Answering(pb_grpc.InferenceServiceServicer):
    """The least that can be called: what is tested is the load generator."""

    def __init__(self) -> None:
        self.peers: set[str] = set()

    async def Chat(self, request: pb.ChatRequest, context: Any) -> pb.ChatResponse:
        self.peers.add(context.peer())
        return pb.ChatResponse(id=request.route)

    async def StreamChat(self, request: pb.ChatRequest, context: Any) -> AsyncIterator[pb.StreamChatResponse]:
        for _ in range(3):
            yield pb.StreamChatResponse(id=request.route)


async def test_stub_calls_are_spread_over_several_connections() -> None:
    servicer = Answering()
    server = grpc.aio.server()
    pb_grpc.add_InferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        for streamed in (False, True):
            result = (await played(plan("grpc", f"127.0.0.1:{port}", streamed=streamed))).result(1.0)
            assert (len(result.total_s), len(result.first_s), result.errors) == (10, 10, {})
            assert min(result.first_s) > 0
    finally:
        await server.stop(None)
    assert len(servicer.peers) == GRPC_CHANNELS
