"""What is generated from proto/ is up to date, lints, and does not break callers. Each check is shown to be able to fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
DESCRIPTORS = "sidecar/v1/descriptors.pb"
BREAKING = '{"version": "v2", "breaking": {"use": ["FILE"]}}'


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, cwd=cwd, capture_output=True, check=False, timeout=100)


def check(root: Path) -> subprocess.CompletedProcess[bytes]:
    return run(sys.executable, "tools/generate.py", "--check", "--root", str(root))


def buf(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[bytes]:
    return run(str(Path(sys.executable).parent / "buf"), *arguments, cwd=cwd)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the parts of this checkout that the tools read."""
    for name in ("proto", "tools", "sidecar/v1", "client/llm_gateway_client"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("buf.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_generated_code_matches_the_proto_files() -> None:
    result = check(ROOT)
    assert result.returncode == 0, result.stderr.decode()


GENERATED = [
    f"sidecar/v1/{name}" for name in ("inference_pb2.py", "inference_pb2.pyi", "rest_pb2_grpc.py", "descriptors.pb")
]
CLIENT = "client/llm_gateway_client"
GENERATED += [
    f"{CLIENT}/{name}" for name in ("v1/routes_pb2.py", "v1/routes_pb2.pyi", "sync/client.py", "gateway_tables.py")
]


@pytest.mark.parametrize("name", GENERATED)
def test_an_edited_generated_file_is_named(checkout: Path, name: str) -> None:
    with (checkout / name).open("ab") as file:
        file.write(b"\n")
    result = check(checkout)
    assert result.returncode == 1
    assert result.stderr.decode() == f"{name} is stale: run `make proto`\n"


def test_a_change_of_the_async_client_alone_makes_the_sync_one_stale(checkout: Path) -> None:
    path = checkout / CLIENT / "aio/client.py"
    path.write_text(path.read_text().replace("TIMEOUT_S = 600.0", "TIMEOUT_S = 60.0"))
    assert check(checkout).stderr.decode() == f"{CLIENT}/sync/client.py is stale: run `make proto`\n"


@pytest.mark.parametrize("name", ["sidecar/v1/gone_pb2.py", f"{CLIENT}/v1/gone_pb2.py", f"{CLIENT}/sync/gone.py"])
def test_a_generated_file_whose_source_is_gone_is_named(checkout: Path, name: str) -> None:
    (checkout / name).touch()
    assert f"{name} is stale" in check(checkout).stderr.decode()


def test_the_proto_files_lint() -> None:
    assert check(ROOT).returncode == 0  # puts google/api where buf.yaml expects it
    result = buf("lint")
    assert result.returncode == 0, result.stdout.decode() + result.stderr.decode()


def test_the_lint_sees_a_badly_named_field(checkout: Path) -> None:
    proto = checkout / "proto/sidecar/v1/routes.proto"
    proto.write_text(proto.read_text() + "\n// Bad.\nmessage Bad {\n  // Bad.\n  string badName = 1;\n}\n")
    check(checkout)
    result = buf("lint", cwd=checkout)
    assert result.returncode != 0
    assert "bad_name" in result.stdout.decode()


def breaking(root: Path, before: Path) -> subprocess.CompletedProcess[bytes]:
    return buf(
        "breaking", f"{root / DESCRIPTORS}#format=binpb", "--against", f"{before}#format=binpb", "--config", BREAKING
    )


def baseline(target: Path) -> Path:
    """The descriptor set of the last release, of the last commit before there is one, of this checkout outside of git."""
    tag = run("git", "describe", "--tags", "--abbrev=0", "--match", "v*").stdout.decode().strip()
    shown = run("git", "show", f"{tag or 'HEAD'}:{DESCRIPTORS}")
    target.write_bytes(shown.stdout if shown.returncode == 0 else (ROOT / DESCRIPTORS).read_bytes())
    return target


def test_the_contract_does_not_break_callers_of_the_last_release(tmp_path: Path) -> None:
    result = breaking(ROOT, baseline(tmp_path / "before.binpb"))
    assert result.returncode == 0, result.stdout.decode() + result.stderr.decode()


def test_a_renumbered_field_counts_as_breaking(checkout: Path) -> None:
    proto = checkout / "proto/sidecar/v1/routes.proto"
    text = proto.read_text()
    assert "string name = 1;" in text
    proto.write_text(text.replace("string name = 1;", "string name = 99;"))
    assert run(sys.executable, "tools/generate.py", "--root", str(checkout), cwd=checkout).returncode == 0
    result = breaking(checkout, ROOT / DESCRIPTORS)
    assert result.returncode != 0
    assert "routes.proto" in result.stdout.decode()
