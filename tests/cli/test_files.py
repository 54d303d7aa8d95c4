"""Commands that need no running gateway: check, users, render, version."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from sidecar.supervisor.start.announcement import env_text, read_env
from sidecar.supervisor.start.state import write_private
from tests.cli.running import config_for, sidecar


def test_check_says_ok_or_what_is_wrong(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(config_for("http://127.0.0.1:9/v1"))
    good = sidecar("check", str(config))
    assert (good.returncode, good.stderr) == (0, "")
    assert "ok: 3 routes" in good.stdout
    config.write_text("routs: []\n")
    bad = sidecar("check", str(config))
    assert bad.returncode == 1
    assert "config.yaml:1" in bad.stderr


def test_a_user_is_added_listed_replaced_and_removed(tmp_path: Path) -> None:
    state = ("--state-dir", str(tmp_path / "state"))
    words = dict(line.rsplit(maxsplit=1) for line in sidecar("users", "add", "alice", *state).stdout.splitlines())
    assert base64.b64decode(words["api key"]).decode() == f"alice:{words['password']}"
    assert stat.S_IMODE((tmp_path / "state" / "users").stat().st_mode) == 0o600
    assert words["password"] not in (tmp_path / "state" / "users").read_text()
    again = sidecar("users", "add", "alice", *state)
    assert (again.returncode, again.stdout) == (1, "")
    assert "alice" in again.stderr
    assert words["password"] not in sidecar("users", "add", "alice", "--replace", *state).stdout
    assert sidecar("users", "list", *state).stdout == "alice\n"
    assert sidecar("users", "remove", "alice", *state).returncode == 0
    assert sidecar("users", "list", *state).stdout == ""
    assert sidecar("users", "remove", "alice", *state).returncode == 1


def test_the_env_file_follows_the_password_of_its_user(tmp_path: Path) -> None:
    state = ("--state-dir", str(tmp_path))
    sidecar("users", "add", "bob", *state)
    known = {
        "SIDECAR_URL": "https://127.0.0.1:1",
        "SIDECAR_USER": "bob",
        "SIDECAR_PASSWORD": "old",
        "SIDECAR_API_KEY": "old",
    }
    write_private(tmp_path / "env", env_text(known))
    password = sidecar("users", "add", "bob", "--replace", *state).stdout.splitlines()[1].split()[1]
    assert read_env(tmp_path / "env")["SIDECAR_PASSWORD"] == password
    sidecar("users", "remove", "bob", *state)
    assert read_env(tmp_path / "env") == {"SIDECAR_URL": "https://127.0.0.1:1"}


def test_env_values_survive_the_shell_and_our_own_reading(tmp_path: Path) -> None:
    values = {"SIDECAR_URL": "https://h:1", "SIDECAR_CA": '/with blank/it\'s "quoted" $HOME/ca.pem'}
    write_private(tmp_path / "env", env_text(values))
    assert read_env(tmp_path / "env") == values


@pytest.mark.parametrize(("front", "listen"), [("nginx", "127.0.0.1:443"), ("envoy", '"127.0.0.1", port_value: 443')])
def test_a_configuration_is_rendered_for_a_front_of_ones_own(tmp_path: Path, front: str, listen: str) -> None:
    done = sidecar("render", front, "--output", str(tmp_path / "front"), "--state-dir", str(tmp_path / "state"),
                   "--port", "443", "--workers", "3")  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = Path(done.stdout.strip()).read_text()
    assert listen in text
    assert text.count("w2.sock") == (2 if front == "nginx" else 1)  # Nginx keeps connections for REST and for gRPC
    assert (tmp_path / "state" / "ca.pem").exists()
    half = sidecar("render", front, "--output", str(tmp_path / "front"), "--tls-key", "key.pem")
    assert half.returncode == 1


def test_version_names_what_runs() -> None:
    assert sidecar("version").stdout.startswith("sidecar ")
