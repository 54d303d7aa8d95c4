"""Targets, credentials and the environment: what is called, and that no secret shows."""

from __future__ import annotations

import base64
import pickle
from pathlib import Path

import pytest
from llm_gateway_client import AsyncClient, Client, TargetError
from llm_gateway_client.targets import resolve

SECRET = "s3cret:with@signs"
BASIC = "Basic " + base64.b64encode(f"alice:{SECRET}".encode()).decode()
QUOTED = "s3cret%3Awith%40signs"


@pytest.mark.parametrize(
    ("text", "rest", "address", "tls"),
    [
        ("127.0.0.1:50051", False, "127.0.0.1:50051", False),
        ("grpc://gateway:50051", False, "gateway:50051", False),
        ("[::1]:50051", False, "[::1]:50051", False),
        ("unix:/run/a@b/grpc.sock", False, "unix:/run/a@b/grpc.sock", False),
        ("grpcs://gateway:8443", False, "gateway:8443", True),
        ("dns:///gateway:8443", False, "dns:///gateway:8443", True),
        ("https://gateway", True, "https://gateway", True),
        ("https://gateway:8443/prefix/", True, "https://gateway:8443/prefix", True),
        ("http://localhost:5000", True, "http://localhost:5000", False),
    ],
)
def test_a_target_says_what_is_called(text: str, rest: bool, address: str, tls: bool) -> None:
    target = resolve(text, env={})
    assert (target.rest, target.address, target.tls, target.authorization) == (rest, address, tls, None)


@pytest.mark.parametrize("scheme", ["https", "grpcs"])
def test_a_credential_in_the_target_is_taken_out_of_it(scheme: str) -> None:
    target = resolve(f"{scheme}://alice:{QUOTED}@gateway:8443", env={})
    assert target.authorization == BASIC
    assert "@" not in target.address
    assert target == resolve(f"{scheme}://gateway:8443", user="alice", password=SECRET, env={})
    assert resolve("https://gateway", api_key="k", env={}).authorization == "Bearer k"


@pytest.mark.parametrize(
    ("text", "keywords"),
    [
        ("http://alice:s3cret@gateway", {}),
        ("grpc://alice:s3cret@gateway:1", {}),
        ("alice:s3cret@gateway:1", {}),
        ("https://s3cret@gateway", {}),
        ("https://alice:s3cret@", {}),
        ("ftp://alice:s3cret@gateway", {}),
        ("https://alice:s3cret@gateway", {"api_key": "s3cret"}),
        ("https://gateway", {"user": "alice"}),
        ("https://gateway", {"password": "s3cret"}),
        ("gateway", {}),
        ("gateway:port", {}),
        ("https://gateway", {"ca": "/nonexistent.pem"}),
        (None, {}),
    ],
)
def test_a_wrong_target_is_refused_without_its_secret(text: str | None, keywords: dict[str, str]) -> None:
    with pytest.raises(TargetError) as raised:
        resolve(text, env={}, **keywords)
    assert "s3cret" not in str(raised.value)


def test_nothing_given_is_what_the_env_file_says(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.touch()
    env = {
        "SIDECAR_URL": "https://127.0.0.1:8443",
        "SIDECAR_GRPC": "127.0.0.1:8443",
        "SIDECAR_API_KEY": "key",
        "SIDECAR_CA": str(ca),
        "SIDECAR_GRPC_LOCAL": "127.0.0.1:50051",
    }
    target = resolve(env=env)
    assert (target.address, target.authorization, target.ca) == (env["SIDECAR_URL"], "Bearer key", str(ca))
    by_grpc = resolve("grpcs://127.0.0.1:8443", env=env)
    assert (by_grpc.rest, by_grpc.authorization, by_grpc.ca) == (False, "Bearer key", str(ca))
    assert resolve("https://alice:pw@127.0.0.1:8443", env=env).authorization != "Bearer key"
    assert resolve(env={"SIDECAR_GRPC_LOCAL": "unix:/x"}).address == "unix:/x"


def test_the_key_of_the_env_file_goes_to_its_own_gateway_only() -> None:
    env = {"SIDECAR_URL": "https://127.0.0.1:8443", "SIDECAR_API_KEY": "key"}
    for other in ("https://127.0.0.1", "https://127.0.0.2:8443", "grpcs://elsewhere:8443", "127.0.0.1:50051"):
        assert resolve(other, env=env).authorization is None


@pytest.mark.parametrize("class_", [Client, AsyncClient])
@pytest.mark.parametrize("scheme", ["https", "grpcs"])
def test_a_client_shows_no_secret_and_is_not_pickled(class_: type[Client], scheme: str) -> None:
    client = class_(f"{scheme}://alice:s3cret@gateway:8443")
    assert "s3cret" not in repr(client) + str(client) + repr(client._target)
    assert repr(client).startswith(class_.__name__)
    with pytest.raises(TypeError):
        pickle.dumps(client)
