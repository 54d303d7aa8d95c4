"""The real stack: supervisor, real workers, Nginx. The provider behind it is the simulator."""

from __future__ import annotations

import os
import signal
import ssl
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import Running, config_for, sidecar
from tests.processes import accepts, command_line, is_alive, wait_until
from tests.provider import Provider
from tests.supervisor.supervised import all_gone, descendants

pytestmark = pytest.mark.slow


@pytest.fixture
def gateway(tmp_path: Path, provider: Provider) -> Iterator[Running]:
    with Running("up", tmp_path, config_for(provider.base_url)) as running:
        yield running


def _get(gateway: Running, path: str, key: str | None = None) -> int:
    """The status of a GET through the front, as a client that trusts our CA sees it."""
    context = ssl.create_default_context(cafile=gateway.env["SIDECAR_CA"])
    headers = {"authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(gateway.env["SIDECAR_URL"] + path, headers=headers)
    try:
        with urllib.request.urlopen(request, context=context, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def _serves(gateway: Running) -> bool:
    try:
        return _get(gateway, "/v1/models", gateway.env["SIDECAR_API_KEY"]) == 200
    except OSError:
        return False


def _named(pid: int, word: str) -> list[int]:
    """Descendants with the word in their command line."""
    return [one for one in descendants(pid) if word in command_line(one)]


def test_the_env_file_is_private_and_all_it_names_works(gateway: Running) -> None:
    env = gateway.env
    assert set(env) == {f"SIDECAR_{name}" for name in _NAMES}
    for name in ("env", "users", "ca.key", "tls.key"):
        assert stat.S_IMODE((gateway.state / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(gateway.state.stat().st_mode) == 0o700
    assert _get(gateway, "/health") == 200
    assert _get(gateway, "/v1/models") == 401
    assert _get(gateway, "/v1/models", env["SIDECAR_API_KEY"]) == 200
    assert gateway.call("routes").returncode == 0
    with urllib.request.urlopen(env["SIDECAR_METRICS"], timeout=5) as page:
        assert b"sidecar_workers_up 2.0" in page.read()


_NAMES = ("URL", "USER", "PASSWORD", "API_KEY", "CA", "GRPC", "GRPC_LOCAL", "METRICS")


def test_what_it_prints_names_every_url_and_no_secret(gateway: Running) -> None:
    env = gateway.env
    for name in ("SIDECAR_URL", "SIDECAR_GRPC_LOCAL", "SIDECAR_METRICS", "SIDECAR_USER"):
        assert env[name] in gateway.process.output
    for name in ("SIDECAR_PASSWORD", "SIDECAR_API_KEY"):
        assert env[name] not in gateway.process.output


def test_a_second_start_on_the_state_directory_is_one_line(gateway: Running) -> None:
    done = sidecar("up", "--state-dir", str(gateway.state), "--port", "0")
    assert done.returncode == 1
    assert done.stderr.startswith(f"sidecar: The state directory {gateway.state} is in use by a running gateway (pid ")
    assert len(done.stderr.splitlines()) == 1
    assert _serves(gateway), "the first is not disturbed"


def test_nginx_comes_back_when_its_master_is_killed(gateway: Running) -> None:
    (master,) = _named(gateway.process.pid, "nginx: master")
    os.kill(master, signal.SIGKILL)
    wait_until(lambda: not is_alive(master))
    wait_until(lambda: len(_named(gateway.process.pid, "nginx: worker")) == 1, 30)
    wait_until(lambda: _serves(gateway), 30)
    gateway.process.wait_for_line("Nginx died with signal SIGKILL. Restarting it")


def test_a_killed_worker_costs_the_others_nothing_and_comes_back(gateway: Running) -> None:
    first, _ = _named(gateway.process.pid, "sidecar.worker")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(_named(gateway.process.pid, "--control-fd")) == 2, 30)
    wait_until(lambda: gateway.process.output.count(" is serving.\n") == 3, 30)
    assert _serves(gateway)


def test_nothing_outlives_a_killed_supervisor_nginx_included(gateway: Running) -> None:
    pids = descendants(gateway.process.pid)
    assert len(pids) == 4, "two workers, Nginx and its worker"
    gateway.process.send(signal.SIGKILL)
    all_gone(pids, 5)


def test_sigterm_stops_it_all_with_exit_code_zero(gateway: Running) -> None:
    pids = descendants(gateway.process.pid)
    assert gateway.process.stop() == 0
    all_gone(pids, 5)
    assert "Traceback" not in gateway.process.output


def test_the_same_user_and_certificate_serve_the_next_start(tmp_path: Path, provider: Provider) -> None:
    seen = []
    for command in ("up", "serve", "up"):
        with Running(command, tmp_path, config_for(provider.base_url)) as running:
            seen.append(running.env["SIDECAR_API_KEY"])
            if command == "up":
                assert _serves(running)
            assert running.process.stop() == 0
    assert len(set(seen)) == 1


def test_detach_returns_once_it_serves_and_down_stops_it(tmp_path: Path, provider: Provider) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(config_for(provider.base_url))
    state = tmp_path / "state"
    ports = ("--port", "0", "--grpc", "127.0.0.1:0", "--metrics", "127.0.0.1:0")
    options = ("--state-dir", str(state), "--config-path", str(config), *ports)
    done = sidecar("up", "--detach", *options)
    try:
        assert done.returncode == 0, done.stderr
        assert "Sidecar is running." in done.stdout
        assert sidecar("routes", "--state-dir", str(state)).returncode == 0
        again = sidecar("up", "--detach", *options)
        assert again.returncode == 1
        assert "in use by a running gateway" in again.stderr
    finally:
        stopped = sidecar("down", "--state-dir", str(state))
    assert (stopped.returncode, stopped.stdout) == (0, "Stopped.\n"), stopped.stderr
    assert "stopped" in (state / "logs" / "sidecar.log").read_text()


def test_detach_says_why_it_does_not_serve(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("routes: nonsense\n")
    done = sidecar(
        "up", "--detach", "--state-dir", str(tmp_path / "state"), "--config-path", str(config), "--port", "0"
    )
    assert done.returncode == 1
    assert "config.yaml:1" in done.stderr


def test_start_has_the_flags_of_mlflow(tmp_path: Path, provider: Provider) -> None:
    with Running("start", tmp_path, config_for(provider.base_url), "--host", "127.0.0.1", "--workers", "1") as running:
        assert running.env["SIDECAR_URL"].startswith("https://127.0.0.1:")
        assert len(_named(running.process.pid, "sidecar.worker")) == 1


def test_serve_runs_the_core_alone(tmp_path: Path, provider: Provider) -> None:
    with Running("serve", tmp_path, config_for(provider.base_url)) as running:
        assert set(running.env) == {"SIDECAR_GRPC_LOCAL", "SIDECAR_METRICS"}
        assert accepts(int(running.env["SIDECAR_GRPC_LOCAL"].rpartition(":")[2]))
        assert not _named(running.process.pid, "nginx")


@pytest.mark.parametrize("server", ["native", "grpcio"])
def test_a_state_directory_may_have_per_cent_signs_and_blanks_in_its_path(tmp_path: Path, server: str) -> None:
    """gRPC's own library reads unix: paths as URIs."""
    folder = tmp_path / "a %41 b"
    folder.mkdir()
    with Running("serve", folder, config_for("http://127.0.0.1:9/v1"), "--grpc-server", server) as gateway:
        socket = str(gateway.state / "run" / "grpc.sock").replace("%", "%25")
        done = sidecar("routes", "--target", f"unix:{socket}")
    assert done.returncode == 0, done.stderr
    assert "embeddings" in done.stdout
