"""A disk without a byte left under the state directory: calls go on, and what they cost is written down once there is space."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import grpc
import httpx
import pytest

from sidecar.supervisor.start.announcement import read_env
from sidecar.v1 import inference_pb2_grpc
from tests.cli.running import FRONT_PORTS
from tests.processes import RunningProcess, wait_until
from tests.provider import Provider
from tests.stack.load import chat_request
from tests.stack.small_disk import SmallDisk
from tests.stack.stack import SERVING_S, config_for, route

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
# A token in costs a micro-dollar, one out two; the simulator counts them.
PRICED = "price: {input: 1, output: 2}\nbudgets: [{dollars: 100, per: day}]\nlimits: [{requests: 1000, per: minute}]"
ROUTES = ("first", "second", "third")
MEGABYTES = 40
BIG = "x" * 2_000_000  # more than any front keeps in its first buffer


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with SmallDisk(tmp_path, MEGABYTES) as disk:
        yield disk


class Gateway:
    """`sidecar up` with its state on the disk; `spent` is what its calls should cost, by route."""

    def __init__(self, disk: SmallDisk, folder: Path, provider: Provider, front: str = "nginx") -> None:
        config = folder / "config.yaml"
        config.write_text(config_for(provider, *(route(name, "chat", provider, extra=PRICED) for name in ROUTES)))
        self._disk = disk
        self._state = str(disk.inside / "state")
        options = ("--state-dir", self._state, "--config-path", str(config), *FRONT_PORTS, "--front", front)
        self.process: RunningProcess = disk.process("sidecar", "up", *options)
        self.calls: Counter[str] = Counter()
        self.spent: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self.process.wait_for_line("^Sidecar is running", SERVING_S)
        state = self._disk.outside / "state"
        self.env = read_env(state / "env")
        trust = ssl.create_default_context(cadata=(state / "ca.pem").read_text())
        key = {"authorization": f"Bearer {self.env['SIDECAR_API_KEY']}"}
        self._http = httpx.Client(
            base_url=self.env["SIDECAR_URL"], verify=trust, headers=key, timeout=60, trust_env=False
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self.process.kill()

    def ask(self, name: str, text: str = "hello") -> None:
        """A call, which must succeed."""
        body = {"model": name, "messages": [{"role": "user", "content": text}], "max_tokens": 3}
        answer = self._http.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        self._count(name, answer.json()["usage"])

    def ask_each(self) -> None:
        """Each route, by REST and on the local port; a channel of its own each, so that every worker gets some."""
        for name in ROUTES * 3:
            self.ask(name)
            with grpc.insecure_channel(self.env["SIDECAR_GRPC_LOCAL"], [("grpc.use_local_subchannel_pool", 1)]) as by:
                usage = inference_pb2_grpc.InferenceServiceStub(by).Chat(chat_request(route=name), timeout=30).usage
            self._count(name, {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens})

    def _count(self, name: str, usage: dict[str, int]) -> None:
        self.calls[name] += 1
        self.spent[name] += usage["prompt_tokens"] + 2 * usage["completion_tokens"]

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(self.env["SIDECAR_METRICS"], timeout=10) as page:
            found = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", page.read().decode(), re.MULTILINE)
        return sum(map(float, found))

    def usage(self) -> tuple[Counter[str], Counter[str]]:
        """Calls and micro-dollars by route, as `sidecar usage` says them."""
        done = self._disk.run("sidecar", "usage", "--state-dir", self._state, "--json")
        assert done.returncode == 0, done.stderr
        calls: Counter[str] = Counter()
        spent: Counter[str] = Counter()
        for line in map(json.loads, done.stdout.splitlines()):  # one of the user's, one of the local port's
            calls[line["route"]] += line["calls"]
            spent[line["route"]] += line["micro_dollars"]
        return calls, spent


@pytest.mark.parametrize("front", ["nginx", "envoy"])
def test_calls_succeed_while_the_disk_is_full_and_spend_is_whole_afterwards(
    disk: SmallDisk, tmp_path: Path, provider: Provider, front: str
) -> None:
    with Gateway(disk, tmp_path, provider, front) as it:
        it.ask("first")
        disk.fill()
        it.ask_each()  # "second" and "third" are new to the metrics
        for _ in range(3):
            it.ask("second", BIG)
        old = int(re.findall(r"Worker 0 \(pid (\d+)\) is serving", it.process.output)[0])
        os.kill(old, signal.SIGKILL)
        it.process.wait_for_line(rf"(?s)pid {old}\) died with signal SIGKILL.*Worker 0 \(pid \d+\) is serving", 30)
        it.ask_each()
        it.process.send(signal.SIGUSR2)
        it.process.wait_for_line("Rolling restart: 2 new workers are serving", 30)
        it.ask_each()
        assert "SIGBUS" not in it.process.output
        it.process.wait_for_line("Cannot save the spend: database or disk is full. Retrying")
        assert it.metric("sidecar_requests_total") == it.calls.total()
        assert it.metric("sidecar_spend_micro_dollars_total") == it.spent.total()
        assert it.metric("sidecar_metrics_complete") == 1
        assert it.metric("sidecar_worker_restarts_total") == 1, "the one that was killed here"
        disk.free()
        wait_until(lambda: it.usage() == (it.calls, it.spent), 15, "all spend on the disk")
        assert it.process.stop(deadline_s=60) == 0
        assert it.usage() == (it.calls, it.spent)


def test_a_start_on_a_full_disk_says_how_much_it_needs_and_serves_once_there_is_that(
    disk: SmallDisk, tmp_path: Path, provider: Provider
) -> None:
    with Gateway(disk, tmp_path, provider) as first:
        first.ask_each()
        assert first.process.stop(deadline_s=60) == 0
    kept = (disk.outside / "state" / "users").read_bytes()
    disk.fill()
    refused = Gateway(disk, tmp_path, provider)
    assert refused.process.wait(60) == 1
    assert re.search(
        r"^sidecar: The state directory .* has \d+ MB free, and a start needs 20 MB", refused.process.output
    )
    assert "Traceback" not in refused.process.output
    assert (disk.outside / "state" / "users").read_bytes() == kept
    assert first.usage() == (first.calls, first.spent)
    disk.free()
    with Gateway(disk, tmp_path, provider) as second:
        assert second.env["SIDECAR_API_KEY"] == first.env["SIDECAR_API_KEY"]
        second.ask_each()
        wait_until(lambda: second.usage() == (first.calls + second.calls, first.spent + second.spent), 15)


def test_a_start_on_a_disk_that_a_killed_gateway_left_full_needs_no_more_than_that_one_had(
    disk: SmallDisk, tmp_path: Path, provider: Provider
) -> None:
    with Gateway(disk, tmp_path, provider) as first:
        first.ask("first")
        wait_until(lambda: first.usage()[0] == first.calls, 15)
        disk.fill()
        first.process.send(signal.SIGKILL)
        first.process.wait()
    with (disk.outside / "fill").open("ab") as file:
        file.truncate(max(0, file.tell() - 6 * 1024 * 1024))  # with what is in its run/ it is enough
    with Gateway(disk, tmp_path, provider) as second:
        second.ask_each()
        disk.fill()
        second.ask_each()
        assert second.metric("sidecar_requests_total") == second.calls.total()
