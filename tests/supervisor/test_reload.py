"""`sidecar reload`, and what waits for it: a configuration from which something that kept callers out is missing."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from sidecar.config import digest
from tests.cli.running import sidecar
from tests.processes import wait_until
from tests.supervisor.supervised import CONFIG, Supervised

CONSUMERS = "consumers:\n  - name: team\n    users: [alice]\n"


def _reload(it: Supervised) -> tuple[int, str, str]:
    done = sidecar("reload", "--state-dir", str(it.state))
    return done.returncode, done.stdout, done.stderr


def _hashes(it: Supervised) -> set[str]:
    return {it.reply("w0.sock").hash, it.reply("w1.sock").hash}


def test_reload_returns_once_every_worker_has_the_new_configuration(tmp_path: Path) -> None:
    with Supervised(tmp_path) as it:
        it.serving()
        it.write("other")
        text = it.config.read_text()
        assert _reload(it) == (0, f"Configuration {digest(text, {})} is in use: 1 route.\n", "")
        assert _hashes(it) == {digest(text, {})}


def test_reload_of_a_file_with_mistakes_fails_and_says_which(tmp_path: Path) -> None:
    with Supervised(tmp_path) as it:
        it.serving()
        before = _hashes(it)
        it.config.write_text("routes:\n  - nmae: x\n")
        code, output, error = _reload(it)
        assert (code, output) == (1, "")
        first, second = error.splitlines()[:2]
        assert first == "sidecar: The new configuration was refused; the old one stays in use:"
        assert second.startswith(f"{it.config}:2: ")
        assert "nmae" in second
        assert _hashes(it) == before


def test_reload_where_nothing_runs_is_one_line(tmp_path: Path) -> None:
    done = sidecar("reload", "--state-dir", str(tmp_path))
    assert (done.returncode, done.stderr) == (
        1,
        f"sidecar: No gateway is running on the state directory {tmp_path}. Choose another with --state-dir.\n",
    )


@pytest.mark.parametrize("confirm", ["SIGHUP", "sidecar reload"])
def test_a_configuration_without_its_consumers_waits_until_it_is_confirmed(tmp_path: Path, confirm: str) -> None:
    with Supervised(tmp_path) as it:
        it.config.write_text(CONFIG.format(name="calm") + CONSUMERS)
        it.serving()
        assert _reload(it)[0] == 0
        before = _hashes(it)
        it.write("calm")
        line = it.process.wait_for_line(
            r"Configuration (\S+) needs confirmation; the old one stays in use. .* limited them: (.*)", 20
        )
        assert "`consumers` is missing: every user could call every route (1)" in line.group(2)
        assert f"To confirm it, run `sidecar reload --state-dir {it.state}` (or send SIGHUP)." in line.group(2)
        wait_until(lambda: it.metric("sidecar_config_unconfirmed") == 1)
        assert it.metric('sidecar_config_reloads_total{result="unconfirmed"}') == 1
        assert it.metric("sidecar_config_last_reload_successful") == 0
        assert _hashes(it) == before
        if confirm == "SIGHUP":
            it.process.send(signal.SIGHUP)
            wait_until(lambda: it.metric("sidecar_config_unconfirmed") == 0)
        else:
            assert _reload(it)[0] == 0
        it.process.wait_for_line("Applied, because an operator confirmed it: `consumers` is missing")
        assert _hashes(it) == {line.group(1)}
        assert it.metric("sidecar_config_last_reload_successful") == 1


def test_a_start_waits_until_the_config_is_written(tmp_path: Path) -> None:
    text = CONFIG.format(name="calm") + CONSUMERS
    with (tmp_path / "config.yaml").open("w") as file:
        it = Supervised(tmp_path, None)
        with it:
            file.write(text[: text.index("consumers")])
            file.flush()
            wait_until((it.state / "logs").exists, 20)
            file.write(text[text.index("consumers") :])
            file.close()
            it.serving()
            assert _hashes(it) == {digest(text, {})}


def test_a_stop_does_not_wait_for_whoever_waits_for_a_verdict(tmp_path: Path) -> None:
    with Supervised(tmp_path) as it, socket.socket(socket.AF_UNIX) as asking:
        it.serving()
        with it.config.open("a"):  # so that there is no verdict
            asking.connect(str(it.state / "run" / "reload.sock"))
            asking.settimeout(20)
            it.process.send(signal.SIGTERM)
            assert asking.recv(1) == b""
            assert it.process.wait() == 0
