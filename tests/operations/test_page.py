"""The metrics page as Prometheus' own linter reads it, behind either front; on another address where that is said twice."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path

import pytest

from sidecar.v1 import inference_pb2_grpc
from tests.cli.running import sidecar
from tests.processes import wait_until
from tests.provider import Provider
from tests.stack.load import chat_body, chat_request
from tests.stack.seen import Page
from tests.stack.stack import FRONT, Stack, config_for

pytestmark = [pytest.mark.slow, pytest.mark.needs("promtool")]


@pytest.mark.parametrize("front", ["nginx", "envoy"])
def test_promtool_has_nothing_to_say_of_the_page(front: str, tmp_path: Path, provider: Provider) -> None:
    options = ("--metrics", "0.0.0.0:0", "--metrics", "0.0.0.0:0")
    with Stack(tmp_path, config_for(provider), front=front, options=options) as stack:
        with stack.http() as http, stack.http(key=None) as stranger:
            for body in (chat_body(), chat_body(stream=True), chat_body(model="nothing"), {}):
                http.post("/v1/chat/completions", json=body)
            assert stranger.get("/v1/models").status_code == 401
        # Envoy shows a histogram some seconds after its first value.
        wait_until(lambda: "sidecar_front_request_duration_seconds_bucket" in stack.metrics_text(), 30)
        text = stack.metrics_text()
        Page(text)  # no series stands there twice
        assert 'outcome="ok"' in text
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
        elsewhere = stack.env["SIDECAR_METRICS"].replace("127.0.0.1", "127.0.0.2")
        with urllib.request.urlopen(elsewhere, timeout=5) as answer:
            assert answer.status == 200


COUNTED = {("openai", "2xx"): 2, ("openai", "4xx"): 4, ("mlflow", "4xx"): 1, ("docs", "2xx"): 1, ("grpc", "2xx"): 1}


@pytest.mark.parametrize("front", ["nginx", "envoy"])
async def test_both_fronts_count_alike(front: str, tmp_path: Path, provider: Provider) -> None:
    with Stack(tmp_path, config_for(provider), front=front) as stack:
        async with stack.async_http() as http:
            for body in (chat_body(), chat_body(stream=True), chat_body(model="nothing"), {}):
                await http.post("/v1/chat/completions", json=body)
            await http.delete("/v1/models")
            await http.post("/v1/chat/completions", content=b"{}")  # no type
            await http.post("/gateway/nothing/invocations", json={})
            await http.get("/docs")
        async with stack.channel(FRONT) as channel:
            stub = inference_pb2_grpc.InferenceServiceStub(channel)
            await stub.Chat(chat_request(), metadata=stack.metadata(FRONT))

        def counted() -> dict[tuple[str, str], int]:
            samples = [each for each in stack.samples() if each.name == "sidecar_front_requests_total"]
            found = {(each.labels["group"], each.labels["class"]): int(each.value) for each in samples}
            return {series: count for series, count in found.items() if series[0] != "health"}

        wait_until(lambda: sum(counted().values()) >= sum(COUNTED.values()), 30)
        assert counted() == COUNTED


def test_the_linter_would_see_a_name_that_stands_twice() -> None:
    text = "# HELP a_total A.\n# TYPE a_total counter\na_total 1\n" * 2
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 1


def test_another_address_has_to_be_said_twice(tmp_path: Path) -> None:
    done = sidecar("serve", "--state-dir", str(tmp_path / "state"), "--metrics", "0.0.0.0:0")
    assert done.returncode == 1
    assert "repeat the option: --metrics 0.0.0.0:0 --metrics 0.0.0.0:0" in done.stderr
