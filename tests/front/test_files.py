"""The files the front stands on: users, certificates, the rendered folder, the binary."""

from __future__ import annotations

import ssl
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from sidecar.front.nginx import check, command, find_nginx, render
from sidecar.front.pki import ensure_certificates
from sidecar.front.settings import FrontError, FrontSettings
from sidecar.identity.users import UsersError, add_user, api_key, ensure_users_file, list_users, remove_user
from tests.processes import free_port


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_users_are_added_listed_and_removed(tmp_path: Path) -> None:
    file = tmp_path / "users"
    assert list_users(file) == []
    passwords = {add_user(file, name) for name in ("a", "b.C_d-9", "x" * 64)}
    assert [len(password) for password in passwords] == [32, 32, 32]
    assert list_users(file) == ["a", "b.C_d-9", "x" * 64]
    assert _mode(file) == 0o600
    assert not any(password in file.read_text() for password in passwords)
    remove_user(file, "a")
    assert list_users(file) == ["b.C_d-9", "x" * 64]


@pytest.mark.parametrize("name", ["", "a b", "a:b", "ä", "x" * 129, "a\n", "../a", "a/b"])
def test_a_bad_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsersError, match="not a valid user name"):
        add_user(tmp_path / "users", name)
    assert not (tmp_path / "users").exists()


def test_a_name_twice_and_an_unknown_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "users"
    ensure_users_file(file)
    add_user(file, "a")
    before = file.read_text()
    with pytest.raises(UsersError, match="exists"):
        add_user(file, "a")
    with pytest.raises(UsersError, match="no user"):
        remove_user(file, "b")
    ensure_users_file(file)
    assert file.read_text() == before
    add_user(file, "a", replace=True)
    assert list_users(file) == ["a"]
    assert file.read_text() != before


def test_users_added_at_once_are_all_kept(tmp_path: Path) -> None:
    file = tmp_path / "users"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: add_user(file, f"u{number}"), range(40)))
    assert sorted(list_users(file)) == sorted(f"u{number}" for number in range(40))


def test_the_api_key_is_the_pair_in_base64() -> None:
    assert api_key("alice", "secret") == "YWxpY2U6c2VjcmV0"


def test_certificates_are_made_once_and_trusted(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path, ("gateway.example", "10.1.2.3", "0.0.0.0"))
    before = [file.read_bytes() for file in (files.ca, files.certificate, files.key)]
    again = ensure_certificates(tmp_path, ("gateway.example", "10.1.2.3"))
    assert [file.read_bytes() for file in (again.ca, again.certificate, again.key)] == before
    assert (_mode(tmp_path / "ca.key"), _mode(files.key)) == (0o600, 0o600)
    names = x509.load_pem_x509_certificate(before[1]).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert {"localhost", "gateway.example"} <= set(names.value.get_values_for_type(x509.DNSName))
    assert {"127.0.0.1", "::1", "10.1.2.3"} == {str(ip) for ip in names.value.get_values_for_type(x509.IPAddress)}
    ssl.create_default_context(cafile=str(files.ca))


def test_a_new_host_and_a_near_end_renew_the_certificate_but_not_the_ca(tmp_path: Path) -> None:
    first = ensure_certificates(tmp_path)
    ca, certificate = first.ca.read_bytes(), first.certificate.read_bytes()
    ensure_certificates(tmp_path, ("other.example",))
    second = first.certificate.read_bytes()
    ensure_certificates(tmp_path, ("other.example",), now=datetime.now(UTC) + timedelta(days=390))
    third = first.certificate.read_bytes()
    assert len({certificate, second, third}) == 3
    assert first.ca.read_bytes() == ca


def test_a_broken_or_foreign_file_is_made_anew(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path)
    old = files.ca.read_bytes()
    (tmp_path / "ca.key").write_text("broken")
    ensure_certificates(tmp_path)
    assert files.ca.read_bytes() != old
    ca = x509.load_pem_x509_certificate(files.ca.read_bytes())
    x509.load_pem_x509_certificate(files.certificate.read_bytes()).verify_directly_issued_by(ca)


def _settings(state: Path) -> FrontSettings:
    ensure_users_file(state / "users")
    files = ensure_certificates(state)
    sockets = (state / "run" / "w0.sock",)
    return FrontSettings(sockets, state / "users", files.certificate, files.key, listen_port=free_port())


def test_a_rendered_folder_is_private_and_accepted_by_nginx(tmp_path: Path) -> None:
    folder = tmp_path / "front"
    conf = render(_settings(tmp_path), folder)
    check(folder)
    assert conf == folder / "nginx.conf"
    assert (_mode(folder), _mode(folder / "run")) == (0o700, 0o700)
    assert {_mode(file) for file in folder.iterdir() if file.is_file()} == {0o600}


def test_a_broken_certificate_is_one_clear_line(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    settings.tls_certificate.write_text("broken")
    render(settings, tmp_path / "front")
    with pytest.raises(FrontError, match=r"tls\.crt") as raised:
        check(tmp_path / "front")
    assert "\n" not in str(raised.value)


def test_an_ipv6_address_and_odd_paths_are_rendered(tmp_path: Path) -> None:
    state = tmp_path / "with space"
    state.mkdir()
    settings = replace(_settings(state), listen_host="::1", core_sockets=(tmp_path / "w0.sock",))
    render(settings, state / "front")
    check(state / "front")


@pytest.mark.parametrize("name", ['a"b', "a$b", "a;b", "a{b", "a\nb"])
def test_a_path_that_would_change_the_configuration_is_refused(tmp_path: Path, name: str) -> None:
    settings = replace(_settings(tmp_path), users_file=tmp_path / name)
    with pytest.raises(FrontError, match="cannot use the path"):
        render(settings, tmp_path / "front")


def test_a_socket_path_may_be_longer_than_the_kernel_allows_if_it_is_short_from_the_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    settings = replace(_settings(tmp_path), core_sockets=(deep / "run" / "w0.sock",))
    assert "unix:../run/w0.sock " in render(settings, deep / "front").read_text()
    far = replace(settings, core_sockets=(tmp_path / ("e" * 100) / "w0.sock",))
    with pytest.raises(FrontError, match="107"):
        render(far, deep / "front")


def test_an_nginx_that_cannot_reach_the_core_over_http2_is_too_old(tmp_path: Path) -> None:
    """1.29.3 and before know 1.0 and 1.1 only; this stands for one, with its words."""
    folder = tmp_path / "front"
    render(_settings(tmp_path), folder)
    old = tmp_path / "nginx"
    old.write_text('#!/bin/sh\necho \'nginx: [emerg] invalid value "2" in "proxy_http_version 2"\' >&2; exit 1\n')
    old.chmod(0o755)
    with pytest.raises(FrontError, match=r"too old. Install version 1\.29\.4 or later"):
        check(folder, old)


def test_a_vendors_nginx_need_not_have_headers_more(tmp_path: Path) -> None:
    render(replace(_settings(tmp_path), headers_more=False), tmp_path / "front")
    text = "".join(file.read_text() for file in (tmp_path / "front").glob("*.conf"))
    assert "more_clear" not in text


def test_a_socket_left_by_a_killed_nginx_is_taken_away(tmp_path: Path) -> None:
    folder = tmp_path / "front"
    render(_settings(tmp_path), folder)
    (folder / "run" / "metrics.sock").touch()
    argv, cwd = command(folder, find_nginx())
    assert not (folder / "run" / "metrics.sock").exists()
    assert (cwd, "daemon off;" in argv) == (folder, True)
