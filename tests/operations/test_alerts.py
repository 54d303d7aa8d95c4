"""Each alert on the running gateway: a real Prometheus sees it fire by its fault and clear after it. Times are a sixtieth."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import trustme
import yaml

from sidecar.front.pki import ensure_certificates
from tests.operations.prometheus import DEPLOY, Prometheus
from tests.processes import wait_until
from tests.provider import Provider, error_reply
from tests.stack.stack import Stack, config_for, route
from tests.store.postgres import PASSWORD, Database, PostgresProcess
from tests.store.servers import RedisProcess

pytestmark = [pytest.mark.slow, pytest.mark.needs("prometheus"), pytest.mark.timeout(600)]
# The longest window behind an alert is thirty minutes, here seconds; the rest is for a busy machine.
WITHIN_S = 120.0
CALL = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}
SLOW_S = 10.6
# The simulator answers "hello" with two tokens: nine tenths of a cent.
DEAR = "price: {input: 0, output: 4500}\nbudgets: [{dollars: 0.01, per: day}]"


class Repeating:
    """Does something again and again in a thread, inside the `with` block; what it raises is the test's."""

    def __init__(self, act: Callable[[], object], pause_s: float) -> None:
        self._act, self._pause_s = act, pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stop.wait(self._pause_s):
            try:
                self._act()
            except httpx.TransportError:  # a stopped worker, a swapped certificate
                continue

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault may touch. `given` holds the front's certificate and key."""

    given: Path
    stack: Stack
    provider: Provider
    http: httpx.Client
    prometheus: Prometheus
    redis: RedisProcess
    postgres: PostgresProcess

    def chat(self, model: str, **more: object) -> None:
        self.http.post("/v1/chat/completions", json={"model": model, **CALL, **more})


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A healthy gateway with a little traffic on every route that a fault uses."""
    folder = tmp_path_factory.mktemp("alerts")
    with ExitStack() as exits:
        provider = exits.enter_context(Provider())
        redis = exits.enter_context(RedisProcess("8.2", folder / "redis"))
        postgres = exits.enter_context(PostgresProcess())
        (folder / "password").write_text(PASSWORD)
        archive = f"{{url: '{Database(postgres, 'postgres').url}', password: 'file:{folder}/password'}}"
        narrow = route(
            "narrow", "chat", provider, model="sim:gate=narrow,gate_at=-1", extra="admission: {concurrent: 1}"
        )
        dear = route("dear", "chat", provider, extra=DEAR)
        slow = route("slow", "chat", provider, model="sim:first_ms=50")
        given = folder / "given"
        given.mkdir()
        ensure_certificates(given)
        options = ("--tls-certificate", str(given / "tls.crt"), "--tls-key", str(given / "tls.key"))
        config = (
            config_for(provider, narrow, dear, slow) + f"store: {{redis: {{url: '{redis.url}'}}, archive: {archive}}}\n"
        )
        stack = exits.enter_context(Stack(folder, config, options=options))
        stack.env["SIDECAR_CA"] = str(given / "ca.pem")
        http = exits.enter_context(stack.http())
        target = stack.env["SIDECAR_METRICS"].removeprefix("http://").removesuffix("/metrics")
        prometheus = exits.enter_context(Prometheus(folder, target))
        found = Scene(given, stack, provider, http, prometheus, redis, postgres)
        found.chat("claude")
        found.chat("slow", stream=True)
        exits.enter_context(Repeating(lambda: found.chat("chat"), 0.1))
        yield found


@contextmanager
def provider_down(scene: Scene) -> Iterator[None]:
    scene.provider.script = lambda call: error_reply(call, 503, "down") if "/messages" in call.path else None
    with Repeating(lambda: scene.chat("claude"), 0.1):
        yield
    scene.provider.script = None


@contextmanager
def key_rejected(scene: Scene) -> Iterator[None]:
    scene.provider.script = lambda call: error_reply(call, 401, "no") if "/messages" in call.path else None
    scene.chat("claude")
    yield
    scene.provider.script = None


@contextmanager
def slow_streams(scene: Scene) -> Iterator[None]:
    threads = [threading.Thread(target=_one_slow_stream, args=(scene, number), daemon=True) for number in range(12)]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(60)


def _one_slow_stream(scene: Scene, number: int) -> None:
    """They begin one after the other, so that the alert's `for` sees several."""
    threading.Event().wait(number)
    with scene.stack.http(timeout_s=60) as http:
        model = {"model": "slow", **CALL, "stream": True, "sim": f"first_ms={int(SLOW_S * 1000)}"}
        http.post("/v1/chat/completions", json=model)


@contextmanager
def too_many_calls(scene: Scene) -> Iterator[None]:
    held = [threading.Thread(target=scene.chat, args=("narrow",), daemon=True) for _ in range(8)]
    for thread in held:
        thread.start()
    with Repeating(lambda: scene.chat("narrow"), 0.2):
        yield
        scene.provider.gate("narrow").open()
    for thread in held:
        thread.join(60)


@contextmanager
def bad_config(scene: Scene) -> Iterator[None]:
    good = scene.stack.config.read_text()
    scene.stack.config.write_text(good + "nonsense: true\n")
    yield
    scene.stack.config.write_text(good)


@contextmanager
def consumers_missing(scene: Scene) -> Iterator[None]:
    """The first file names every user; the one without it waits, though it opens nothing."""
    good = scene.stack.config.read_text()
    before = scene.stack.metric("sidecar_config_reloads_total", result="success")
    scene.stack.config.write_text(good + 'consumers:\n  - name: everybody\n    users: ["*"]\n')
    wait_until(lambda: scene.stack.metric("sidecar_config_reloads_total", result="success") > before, 30)
    scene.stack.config.write_text(good)
    yield
    os.kill(scene.stack.supervisor_pid, signal.SIGHUP)


@contextmanager
def wrong_passwords(scene: Scene) -> Iterator[None]:
    with scene.stack.http(key="bm9ib2R5Ondyb25n") as stranger, Repeating(lambda: stranger.get("/v1/models"), 0.05):
        yield


@contextmanager
def worker_unreachable(scene: Scene) -> Iterator[None]:
    link = scene.stack.state / "run" / "w0.sock"
    aside = link.with_name("aside")
    link.rename(aside)
    with Repeating(lambda: _on_new_connection(scene.stack), 0.1):
        yield
    aside.rename(link)


def _on_new_connection(stack: Stack) -> None:
    with stack.http() as http:
        for _ in range(4):
            http.get("/v1/models")


@contextmanager
def certificate_ends(scene: Scene) -> Iterator[None]:
    """One that has ended, with its key: the front follows the files."""
    good = scene.given.with_name("good")
    shutil.copytree(scene.given, good)
    old = scene.given.with_name("old")
    old.mkdir()
    ensure_certificates(old, now=datetime.now(UTC) - timedelta(days=1000))
    _put(old, scene.given)
    yield
    _put(good, scene.given)


@contextmanager
def client_certificate_ends(scene: Scene) -> Iterator[None]:
    """A route shows one that has a week left."""
    week = datetime.now(UTC) + timedelta(days=7)
    made = trustme.CA().issue_cert("gateway.example", not_after=week)
    (scene.stack.config.parent / "client.pem").write_bytes(made.private_key_and_cert_chain_pem.bytes())
    good = scene.stack.config.read_text()
    scene.stack.config.write_text(good + "defaults: {client_certificate: {certificate: client.pem}}\n")
    yield
    scene.stack.config.write_text(good)


def _put(source: Path, target: Path) -> None:
    for name in ("tls.key", "tls.crt"):
        shutil.copy(source / name, target / name)


@contextmanager
def workers_die(scene: Scene) -> Iterator[None]:
    for number in range(1, 4):
        wait_until(lambda: scene.stack.metric("sidecar_workers_up") == 2, 30)
        os.kill(scene.stack.worker_pids[0], signal.SIGKILL)
        wait_until(lambda: scene.stack.metric("sidecar_worker_restarts_total") >= number, 30)  # noqa: B023
    yield
    wait_until(lambda: scene.stack.metric("sidecar_workers_up") == 2, 30)


@contextmanager
def worker_hangs(scene: Scene) -> Iterator[None]:
    os.kill(scene.stack.worker_pids[0], signal.SIGSTOP)
    yield
    wait_until(lambda: scene.stack.metric("sidecar_workers_up") == 2, 30)


@contextmanager
def gateway_hangs(scene: Scene) -> Iterator[None]:
    os.kill(scene.stack.supervisor_pid, signal.SIGSTOP)
    yield
    os.kill(scene.stack.supervisor_pid, signal.SIGCONT)


@contextmanager
def budget_nearly_spent(scene: Scene) -> Iterator[None]:
    """One call costs nine tenths of it; then it is raised."""
    scene.chat("dear", max_tokens=2)  # a store reserves as many before the call
    yield
    config = scene.stack.config.read_text()
    scene.stack.config.write_text(config.replace("dollars: 0.01,", "dollars: 1,"))


@contextmanager
def archive_down(scene: Scene) -> Iterator[None]:
    scene.postgres.stop()
    yield
    scene.postgres.start()


@contextmanager
def store_down(scene: Scene) -> Iterator[None]:
    """What calls used waits to be booked; the gateway goes on."""
    scene.redis.kill()
    with Repeating(lambda: scene.chat("chat"), 0.02):
        yield
    scene.redis.start()


@contextmanager
def newer_release(scene: Scene) -> Iterator[None]:
    """Another gateway writes what this one does not understand."""
    state = "{sidecar:default}managed"
    scene.redis.ask("HSET", f"{state}:documents", "r:newer", b'p{"form": 2}')
    scene.redis.ask("SET", state, "lineage 1 first")
    yield
    scene.redis.ask("DEL", f"{state}:documents")
    scene.redis.ask("ZADD", f"{state}:changes", 2, "r:newer")
    scene.redis.ask("SET", state, "lineage 2 second")


FAULTS: dict[str, tuple[Callable[[Scene], AbstractContextManager[None]], tuple[str, ...]]] = {
    "a provider answers 503": (
        provider_down,
        ("SidecarRouteFails", "SidecarProviderDown", "SidecarErrorBudgetBurnsFast", "SidecarErrorBudgetBurns"),
    ),
    "a provider rejects the key": (key_rejected, ("SidecarProviderRejectsKey",)),
    "streams begin after 10 s": (slow_streams, ("SidecarFirstTokenSlow",)),
    "more calls than a route admits": (too_many_calls, ("SidecarSaturated",)),
    "a config that cannot be used": (bad_config, ("SidecarConfigNotTaken",)),
    "a config without its consumers": (consumers_missing, ("SidecarConfigUnconfirmed",)),
    "wrong passwords, 20 a second": (wrong_passwords, ("SidecarAuthFailures",)),
    "a worker's socket is gone": (worker_unreachable, ("SidecarFrontCannotReachCore",)),
    "a certificate near its end": (certificate_ends, ("SidecarCertificateExpires",)),
    "a client certificate near its end": (client_certificate_ends, ("SidecarClientCertificateExpires",)),
    "a budget is spent to nine tenths": (budget_nearly_spent, ("SidecarBudgetNearlySpent",)),
    "the store is killed": (
        store_down,
        ("SidecarStoreUnreachable", "SidecarSpendNotBooked", "SidecarManagedCopyInUse"),
    ),
    "a managed route of a newer release": (newer_release, ("SidecarManagedRefused",)),
    "the archive's Postgres is stopped": (archive_down, ("SidecarArchiveUnreachable",)),
    "three workers are killed": (workers_die, ("SidecarWorkersDie",)),
    "a worker hangs": (worker_hangs, ("SidecarWorkerHangs",)),
    "the supervisor hangs": (gateway_hangs, ("SidecarDown",)),
}
_SEEN: list[str] = []


@pytest.mark.parametrize("fault", FAULTS)
def test_an_alert_fires_by_its_fault_and_clears_after_it(scene: Scene, fault: str) -> None:
    enter, alerts = FAULTS[fault]
    for alert in alerts:
        scene.prometheus.until(alert, fires=False, within_s=WITHIN_S)
    rows = []
    began_s = time.monotonic()
    with enter(scene):
        for alert in alerts:
            scene.prometheus.until(alert, fires=True, within_s=WITHIN_S)
            rows.append((alert, time.monotonic() - began_s))
        ended_s = time.monotonic()
    for alert, fired_s in rows:
        scene.prometheus.until(alert, fires=False, within_s=WITHIN_S)
        _SEEN.append(f"| {fault} | {alert} | {fired_s:.1f} s | {time.monotonic() - ended_s:.1f} s |")


def test_every_alert_was_made_to_fire_here(scene: Scene) -> None:
    """The table of what was seen, and the proof that it is whole."""
    print("\n| fault | alert | fires after | clears after | (times a sixtieth)\n" + "\n".join(_SEEN))
    rules = yaml.safe_load((DEPLOY / "rules.yml").read_text())["groups"][0]["rules"]
    assert {alert for _, alerts in FAULTS.values() for alert in alerts} == {
        rule["alert"] for rule in rules if "alert" in rule
    }


def test_a_healthy_gateway_alerts_nobody(scene: Scene) -> None:
    wait_until(lambda: not scene.prometheus.firing(), WITHIN_S, f"silence, not {scene.prometheus.firing()}")
