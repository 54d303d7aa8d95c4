"""What Envoy reads, as it is rendered: the example, the allow-lists, the routes, the users."""

from __future__ import annotations

import json
import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.front import bindings
from sidecar.front.envoy import CONF, USERS, check, render
from sidecar.front.envoy.__main__ import example
from sidecar.front.envoy.names import all_but
from sidecar.front.envoy.routes import rest_routes
from sidecar.front.envoy.users import write_users
from sidecar.front.pki import ensure_certificates
from sidecar.front.settings import FrontError, FrontSettings, templates
from sidecar.identity.users import add_user, ensure_users_file
from sidecar.openapi.bindings import service
from tests.processes import free_port

ALLOWED = ("accept", "te", "x-request-id", "x-ratelimit-*", ":*")


def test_the_committed_example_is_what_is_rendered() -> None:
    assert (templates("envoy") / CONF).read_text() == example(), "stale: run python -m sidecar.front.envoy"


@given(
    st.one_of(st.sampled_from([name.rstrip("*") for name in ALLOWED]), st.from_regex(r"[a-z:-]{1,20}", fullmatch=True))
)
def test_the_pattern_matches_every_name_but_the_allowed(name: str) -> None:
    allowed = any(name.startswith(each[:-1]) if each.endswith("*") else name == each for each in ALLOWED)
    assert bool(re.fullmatch(all_but(ALLOWED), name)) is not allowed


@pytest.mark.parametrize("allowed", ALLOWED)
def test_names_near_an_allowed_one_are_matched(allowed: str) -> None:
    name = allowed.rstrip("*")
    for near in (name[:-1], f"x{name}", f"{name}x" if not allowed.endswith("*") else name[:-1] + "~"):
        assert re.fullmatch(all_but([allowed]), near), near
    assert not re.fullmatch(all_but([allowed]), name)


def test_only_health_goes_without_credentials() -> None:
    lines = rest_routes(service(), bindings.PUBLIC)
    public = [line for line in lines if '"users"' in line]
    assert public
    assert all('"path": "/health"' in line for line in public)
    everything = rest_routes(service(), frozenset())  # the control
    assert not any('"users"' in line for line in everything)


def _settings(state: Path) -> FrontSettings:
    ensure_users_file(state / "users")
    files = ensure_certificates(state)
    sockets = (state / "run" / "w0.sock",)
    return FrontSettings(sockets, state / "users", files.certificate, files.key, listen_port=free_port())


def test_a_rendered_folder_is_private_and_accepted_by_envoy(tmp_path: Path) -> None:
    folder = tmp_path / "front"
    assert render(_settings(tmp_path), folder) == folder / CONF
    check(folder)
    assert {stat.S_IMODE(file.stat().st_mode) for file in (folder, folder / "run")} == {0o700}
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir() if file.is_file()} == {0o600}


def test_a_broken_certificate_and_a_broken_configuration_are_one_clear_line(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    folder = tmp_path / "front"
    render(replace(settings, listen_host="nowhere"), folder)
    with pytest.raises(FrontError, match="nowhere") as raised:
        check(folder)
    assert len(str(raised.value)) < 1000
    settings.tls_certificate.write_text("broken")
    render(settings, folder)
    with pytest.raises(FrontError, match=r"tls\.crt"):
        check(folder)


def test_no_core_socket_is_said(tmp_path: Path) -> None:
    with pytest.raises(FrontError, match="at least one"):
        render(replace(_settings(tmp_path), core_sockets=()), tmp_path / "front")


def _lines(target: Path) -> list[str]:
    users = json.loads(target.read_text())["resources"][0]["typed_config"]["users"]
    return str(users["inline_string"]).splitlines()


def test_users_envoy_cannot_take_are_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, target = tmp_path / "users", tmp_path / USERS
    add_user(file, "alice")
    [alice] = file.read_text().splitlines()
    file.write_text(f"# by hand\n{alice}\n\nbob:$2y$05$abc\nalice:{{SHA}}{'A' * 27}=")
    write_users(file, target)
    assert _lines(target) == [alice]
    assert "'bob' cannot log in through Envoy" in caplog.text


@pytest.mark.parametrize("text", ["", None])
def test_a_file_without_users_is_said(tmp_path: Path, text: str | None) -> None:
    file, target = tmp_path / "users", tmp_path / USERS
    if text is not None:
        file.write_text(text)
    assert write_users(file, target).startswith("No line of it is a user")
    assert "users" not in json.loads(target.read_text())["resources"][0]["typed_config"]
