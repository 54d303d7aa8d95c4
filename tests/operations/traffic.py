"""Traffic whose numbers are known, through a gateway that a real Prometheus scrapes."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass

import grpc
import pytest

from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc
from tests.operations.prometheus import Prometheus
from tests.processes import wait_until
from tests.provider import Call, Provider, Reply, error_reply
from tests.stack.load import chat_request
from tests.stack.stack import MESSAGE_BYTES_MAX, Stack, config_for, route
from tests.store.postgres import PASSWORD, Database, PostgresProcess
from tests.store.servers import RedisProcess

ASK = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}
ROUNDS = 12
HELD = 3
FIRST_MS = 300  # when the streams of route "slow" begin: between the histogram's bounds 0.25 and 0.5
TOO_LARGE = b"a" * (33 * 1024 * 1024)
FALLBACK = """\
  - name: second
    route_type: llm/v1/chat
    models:
      - {{provider: anthropic, name: first-choice, config: {{anthropic_api_base: {root}, anthropic_api_key: k}}}}
      - {{provider: openai-compatible, name: sim-chat, config: {{base_url: {base}, api_key: k}}}}
"""
# A million tokens in cost a dollar, out two: one token is 1 or 2 micro-dollars.
PRICED = "price: {input: 1, output: 2}\nbudgets: [{dollars: 1, per: day}]"
Key = tuple[str, ...]


class Gateway:
    """A gateway, its provider, Prometheus, and one client of each kind."""

    def __init__(self, exits: ExitStack, paths: pytest.TempPathFactory) -> None:
        folder = paths.mktemp("panels")
        self._claude = 503
        self.usage: dict[tuple[str, str], tuple[int, int]] = {}  # (route, consumer) -> tokens in and out, of one call
        self.came: list[Key] = []  # (provider, model, status answered)
        self.provider = exits.enter_context(Provider(script=self._answer))
        config = config_for(
            self.provider,
            route("slow", "chat", self.provider, model=f"sim:first_ms={FIRST_MS}"),
            route("held", "chat", self.provider, model="sim:gate=held,gate_at=-1"),
            route("priced", "chat", self.provider, extra=PRICED),
            route("limited", "chat", self.provider, extra="limits: [{requests: 1, per: day}]"),
            FALLBACK.format(root=self.provider.root_url, base=self.provider.base_url),
        )
        redis = exits.enter_context(RedisProcess("8.2", folder / "redis"))
        postgres = exits.enter_context(PostgresProcess())
        (folder / "password").write_text(PASSWORD)
        archive = f"{{url: '{Database(postgres, 'postgres').url}', password: 'file:{folder}/password'}}"
        config += f"store: {{redis: {{url: '{redis.url}'}}, timeout: 5s, archive: {archive}}}\n"
        self.stack = exits.enter_context(Stack(folder, config))
        self.user = self.stack.user
        self._http = exits.enter_context(self.stack.http())
        self._stranger = exits.enter_context(self.stack.http(key="bm9ib2R5Ondyb25n"))
        size = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
        channel = exits.enter_context(grpc.insecure_channel(self.stack.grpc_local, size))
        self._stub = inference_pb2_grpc.InferenceServiceStub(channel)
        target = self.stack.env["SIDECAR_METRICS"].removeprefix("http://").removesuffix("/metrics")
        self.prometheus = exits.enter_context(Prometheus(folder, target))
        self._lose_the_store_for_a_moment(redis)

    def _lose_the_store_for_a_moment(self, redis: RedisProcess) -> None:
        redis.kill()
        wait_until(lambda: self._ask("priced") == 503, 30)
        redis.start()
        for metric in ("store_unreachable", "archive_unreachable"):
            wait_until(lambda it=metric: self.stack.metric(f"sidecar_{it}") == 0, 30)  # type: ignore[misc]

    def _answer(self, call: Call) -> Reply | None:
        """Anthropic's side fails; what came is written down."""
        failed = "/messages" in call.path
        kind = "anthropic" if failed else "openai-compatible"
        self.came.append((kind, str(call.json.get("model")), str(self._claude if failed else 200)))
        return error_reply(call, self._claude, "no") if failed else None

    def _ask(self, model: str, **more: object) -> int:
        answer = self._http.post("/v1/chat/completions", json={"model": model, **ASK, **more})
        if answer.status_code == 200 and not more and model != "limited":  # whose only good call is the first
            usage = answer.json()["usage"]
            self.usage[model, self.user] = (usage["prompt_tokens"], usage["completion_tokens"])
        return answer.status_code

    def round(self) -> None:
        """One call of each kind."""
        assert self._ask("chat") == 200
        assert self._ask("slow", stream=True) == 200
        self.usage["slow", self.user] = self.usage["chat", self.user]  # the same words
        assert self._ask("nobody") == 404
        self._ask("limited")
        assert self._ask("second") == 200
        assert self._ask("priced") == 200
        self._claude = 503
        assert self._ask("claude") == 503
        self._claude = 401
        assert self._ask("claude") == 424
        self._claude = 503
        answer: pb.ChatResponse = self._stub.Chat(chat_request(route="chat"))
        self.usage["chat", "local"] = (answer.usage.input_tokens, answer.usage.output_tokens)
        assert self._stranger.get("/v1/models").status_code == 401

    def refuse_a_large_body(self) -> None:
        answer = self._http.post(
            "/v1/chat/completions", content=TOO_LARGE, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 413

    def miss_a_worker(self) -> None:
        """Until the front has tried a worker whose socket is not there."""
        link = self.stack.state / "run" / "w0.sock"
        aside = link.with_name("aside")
        link.rename(aside)
        before = self.stack.metric("sidecar_front_connect_errors_total")

        def tried() -> bool:
            with self.stack.http() as http:
                http.get("/v1/models")
            return self.stack.metric("sidecar_front_connect_errors_total") > before

        wait_until(tried, 30)
        aside.rename(link)

    def wait_until_archived(self) -> None:
        """Rows of the ledger are folded, and written to the archive, a moment after their calls."""
        waiting = ("sidecar_ledger_waiting_rows", "sidecar_archive_waiting_rows")
        wait_until(lambda: all(self.stack.metric(each) == 0 for each in waiting), 30)

    def hold(self) -> list[threading.Thread]:
        threads = [threading.Thread(target=self._ask, args=("held",), daemon=True) for _ in range(HELD)]
        for thread in threads:
            thread.start()
        wait_until(lambda: self.provider.gate("held").waiting >= HELD, 30)
        return threads


@dataclass(frozen=True, slots=True)
class Seen:
    """The window of the traffic, as Prometheus sees it, and what came to the provider in it."""

    gateway: Gateway
    window_s: float
    at_s: float
    attempts: tuple[Key, ...]

    def ask(self, expr: str) -> dict[Key, float]:
        """Values of the labels, in the order of the labels' names -> value of the sample."""
        window = f"{int(self.window_s * 1000)}ms"
        for name, value in (("$route", ".*"), ("$consumer", ".*"), ("$__rate_interval", window)):
            expr = expr.replace(name, value)
        return {
            tuple(value for name, value in sorted(labels.items()) if name not in ("__name__", "instance", "job")): value
            for labels, value in self.gateway.prometheus.query(expr, at_s=self.at_s)
        }

    def came(self, provider: str, status: str = "", model: str = "") -> int:
        return sum(
            kind == provider and status in ("", answered) and model in ("", name)
            for kind, name, answered in self.attempts
        )
