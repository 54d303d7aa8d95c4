"""`client_certificate:` is tried when the file is read, as the gateway will use it, and kept as it was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from sidecar.config import load
from sidecar.domain.client_certificate import ClientCertificate
from tests.config.loading import loaded, problems, route

CA = trustme.CA()
PLACE = "config.yaml:5: routes[0].client_certificate: "


def issued(not_before: datetime | None = None, not_after: datetime | None = None) -> tuple[str, str]:
    """Chain and key."""
    made = CA.issue_cert("gateway.example", not_before=not_before, not_after=not_after)
    return "".join(each.bytes().decode() for each in made.cert_chain_pems), made.private_key_pem.bytes().decode()


CHAIN, KEY = issued()


def certificate(chain: str, key: str | None) -> ClientCertificate:
    files = {"client.pem": chain} | ({} if key is None else {"client.key": key})
    written = "certificate: client.pem" + (", key: client.key" if key is not None else "")
    found = loaded(route(f"client_certificate: {{{written}}}"), files).routes["chat"].upstreams[0].client_certificate
    assert found is not None
    return found


def encrypted(key: str) -> str:
    loaded_key = serialization.load_pem_private_key(key.encode(), None)
    form = serialization.PrivateFormat.PKCS8
    return loaded_key.private_bytes(
        serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"words")
    ).decode()


@pytest.mark.parametrize(
    ("chain", "key"),
    [
        (CHAIN, KEY),
        (CHAIN + KEY, None),
        (KEY + CHAIN, None),
        (f"\ufeffBag Attributes\r\n{CHAIN}".replace("\n", "\r\n"), KEY.replace("\n", "\r\n")),
    ],
    ids=["two files", "one file", "the key first", "from Windows"],
)
def test_chain_and_key_come_from_two_files_or_one(chain: str, key: str | None) -> None:
    found = certificate(chain, key)
    assert found.chain.count("BEGIN CERTIFICATE") == CHAIN.count("BEGIN CERTIFICATE")
    assert (found.path, found.key_path) == ("client.pem", "client.pem" if key is None else "client.key")
    assert found.expires_s > datetime.now(UTC).timestamp()


def test_the_key_is_shown_nowhere() -> None:
    found = certificate(CHAIN, KEY)
    assert KEY.split("\n")[1] not in repr(found)


@pytest.mark.parametrize(
    ("chain", "key", "words"),
    [
        ("", KEY, "the certificate file contains no PEM certificate, or is truncated"),
        (CHAIN[: len(CHAIN) // 2], KEY, "the certificate file contains no PEM certificate, or is truncated"),
        (CHAIN, "", "the key file contains no PEM private key, or is truncated"),
        (CHAIN, KEY[: len(KEY) // 2], "the key file contains no PEM private key, or is truncated"),
        (CHAIN, issued()[1], "the certificate and the key do not match"),
        (CHAIN, encrypted(KEY), "the key is encrypted, and a passphrase cannot be entered"),
        (CHAIN, KEY.replace(KEY.split("\n")[1], "AAAA"), "the certificate or the key is damaged"),
        (CHAIN.replace(CHAIN.split("\n")[2], "AAAA"), KEY, "the certificate or the key is damaged"),
    ],
)
def test_what_the_gateway_could_not_use_is_refused_with_its_line(chain: str, key: str, words: str) -> None:
    text = route("client_certificate: {certificate: client.pem, key: client.key}")
    assert problems(text, {"client.pem": chain, "client.key": key}) == [PLACE + words]


def test_a_file_that_is_not_there_and_a_key_that_is_unknown_are_refused() -> None:
    text = route("client_certificate: {certificate: client.pem, key: gone.key}")
    (problem,) = problems(text, {"client.pem": CHAIN})
    assert problem.startswith(f'{PLACE[:-2]}.key: file "gone.key" does not exist')
    (problem,) = problems(
        route("client_certificate: {certificat: client.pem, certificate: client.pem}"), {"client.pem": CHAIN + KEY}
    )
    assert 'unknown key "certificat"; did you mean "certificate"?' in problem
    assert problems(route("client_certificate: {key: client.key}"), {"client.key": KEY}) == [
        f"{PLACE[:-2]}.certificate: is missing"
    ]


def test_one_that_has_ended_is_a_warning() -> None:
    now = datetime.now(UTC)
    chain, key = issued(not_before=now - timedelta(days=9), not_after=now - timedelta(days=1))
    made = loaded(route("client_certificate: {certificate: client.pem}"), {"client.pem": chain + key})
    assert made.warnings == (f"{PLACE}contains an expired certificate; the provider will refuse it",)


def test_relative_paths_start_at_the_config_files_directory_and_defaults_hold_for_all() -> None:
    text = route() + "defaults: {client_certificate: {certificate: client.pem}}\n"
    made = load(text, {"OPENAI_API_KEY": "k"}, file="/etc/llm/config.yaml", read_file={"client.pem": CHAIN + KEY}.get)
    found = made.routes["chat"].upstreams[0].client_certificate
    assert found is not None
    assert (found.path, found.key_path) == ("/etc/llm/client.pem", "/etc/llm/client.pem")
