"""Two real gateways with an archive in Postgres, as an operator sees them: `sidecar usage`, metrics, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import grpc
import httpx
import pytest

from tests.cli.running import CORE_PORTS, Running
from tests.processes import REPOSITORY, reached
from tests.provider import Provider
from tests.store.postgres import PASSWORD, Database
from tests.store.servers import RedisProcess
from tests.store.test_archiving import agree
from tests.store.test_gateways import booked, call, config, connected, gateways

pytestmark = pytest.mark.slow


def text_of(provider: Provider, redis: RedisProcess, postgres: Database, folder: Path) -> str:
    (folder / "password").write_text(PASSWORD)
    archive = f"archive: {{url: '{postgres.url}', password: 'file:{folder}/password'}}"
    return config(provider, redis).replace("  timeout: 5s\n", f"  timeout: 5s\n  {archive}\n")


def usage(config_path: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """From a machine that runs no gateway."""
    command = [sys.executable, "-m", "sidecar", "usage", "--config-path", str(config_path), *words]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=REPOSITORY, env={**os.environ, **env}, check=False
    )


def metrics(gateway: Running) -> dict[str, float]:
    lines = httpx.get(gateway.env["SIDECAR_METRICS"]).text.splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if line.startswith("sidecar_archive_"))
    return {name: float(value) for name, value in found.items()}


async def test_the_usage_of_all_gateways_is_read_from_anywhere_and_checked(
    tmp_path: Path, provider: Provider, redis: RedisProcess, postgres: Database
) -> None:
    text = text_of(provider, redis, postgres, tmp_path)
    with gateways(tmp_path, text) as both:
        await reached(lambda: connected(redis, 7), 30, "all workers, supervisors and archives in the store")
        for gateway in both:
            await reached(lambda it=gateway: metrics(it)["sidecar_archive_unreachable"] == 0, 30, "the archive")  # type: ignore[misc]
            for _ in range(3):
                assert (await call(gateway))[0] is grpc.StatusCode.OK
        for gateway in both:
            await booked(gateway, 6)
        own = [gateway.call("usage", "--json").stdout for gateway in both]
        path = both[0].config

        await agree(postgres, 6, sum(json.loads(line)["micro_dollars"] for line in own[0].splitlines()))
        found = usage(path, "--json")
        assert found.returncode == 0, found.stderr
        assert own == [found.stdout] * 2
        done = usage(path, "--check")
        assert (done.returncode, done.stdout.split()[0]) == (0, "ok:"), done.stderr
        await reached(lambda: metrics(both[0])["sidecar_archive_waiting_rows"] == 0, 20, "no rows that wait")
    await postgres.ask("UPDATE gateway_spend SET micro_dollars = micro_dollars + 1")
    done = usage(path, "--check")
    assert done.returncode == 1
    assert "local, chat: the sum has 6 calls and $" in done.stderr
    assert 'The month\'s counter of route "chat" in the store has $' in done.stderr


async def test_a_gateway_starts_without_its_archive_and_fills_it_later(
    tmp_path: Path, provider: Provider, redis: RedisProcess, postgres: Database
) -> None:
    (tmp_path / "a").mkdir()
    postgres.process.stop()
    try:
        with Running("serve", tmp_path / "a", text_of(provider, redis, postgres, tmp_path)) as gateway:
            assert (await call(gateway))[0] is grpc.StatusCode.OK
            await booked(gateway, 1)
            assert metrics(gateway)["sidecar_archive_unreachable"] == 1
            done = usage(gateway.config)
            assert done.returncode == 1
            assert "The archive in Postgres cannot be read" in done.stderr
            postgres.process.start()
            await reached(lambda: metrics(gateway)["sidecar_archive_unreachable"] == 0, 30, "the archive")
            assert [each[2] for each in await postgres.sums()] == [1]
    finally:
        postgres.process.start()


def test_without_the_driver_a_start_says_what_to_install(
    tmp_path: Path, provider: Provider, redis: RedisProcess
) -> None:
    path = tmp_path / "config.yaml"
    text = config(provider, redis).replace("  timeout: 5s\n", "  archive: postgres://gateway@127.0.0.1/sidecar\n")
    path.write_text(text)
    hidden = tmp_path / "hidden" / "sitecustomize.py"
    hidden.parent.mkdir()
    hidden.write_text(
        "import sys\n"
        "class NotThere:\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'asyncpg':\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, NotThere)\n"
    )
    command = [sys.executable, "-m", "sidecar", "serve", "--config-path", str(path), "--state-dir", str(tmp_path / "s")]
    env = {**os.environ, "PYTHONPATH": str(hidden.parent)}
    done = subprocess.run(
        [*command, *CORE_PORTS], capture_output=True, text=True, timeout=60, cwd=REPOSITORY, env=env, check=False
    )
    assert done.returncode == 1
    assert "pip install 'llm-gateway-sidecar[postgres]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_usage_needs_is_said(tmp_path: Path, provider: Provider, redis: RedisProcess) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(config(provider, redis))
    assert "names no `store.archive`" in usage(path).stderr
    path.write_text(
        config(provider, redis).replace(
            "  timeout: 5s\n", "  archive: {url: 'postgres://h/d', password: $NOT_SET_ANYWHERE}\n"
        )
    )
    assert "The variable of `store.archive.password` is not set here." in usage(path).stderr
