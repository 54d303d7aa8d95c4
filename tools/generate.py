"""Writes the generated files of both packages. `--check` reports stale ones and changes nothing.

    proto/                         -> sidecar/v1 with its descriptor set, client/llm_gateway_client/v1
    client/llm_gateway_client/aio  -> client/llm_gateway_client/sync (tools/sync_client.py)
    adapters/mlflow_client         -> client/llm_gateway_client/gateway_tables.py (tools/gateway_tables.py)

The imports of google/api come from the googleapis-common-protos package, so nothing is downloaded; they are copied
to .buf/googleapis because buf only reads folders.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "client")]  # this file is a script that also works in a copy of the checkout
from tools import gateway_tables, sync_client  # noqa: E402

PACKAGE = Path("sidecar/v1")
CLIENT = Path("client/llm_gateway_client")
CLIENT_V1 = CLIENT / "v1"
# The services that callers use; RestService is for the front.
CLIENT_PROTOS = ("inference", "routes")
TABLES = CLIENT / "gateway_tables.py"
# Where to look for files that are no longer generated.
FOLDERS = {PACKAGE: "*_pb2*.py*", CLIENT_V1: "*.py*", sync_client.TARGET: "*.py"}
DESCRIPTORS = PACKAGE / "descriptors.pb"
# What rest.proto imports, directly and indirectly.
GOOGLE_API = ("google/api/annotations.proto", "google/api/http.proto", "google/api/httpbody.proto")


def copy_google_api(target: Path) -> None:
    """Copies the imported google/api files below `target`."""
    source = resources.files("google.api")
    for name in GOOGLE_API:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.joinpath(path.name).read_bytes())


def generate(root: Path, out: Path) -> list[Path]:
    """Writes everything that is generated from the checkout `root` below `out`; returns the relative paths. The
    proto files and the adapters are those of this checkout. Raises SystemExit if protoc fails."""
    names = [*generate_server(out), *generate_messages(out)]
    texts = {**sync_client.modules(root), TABLES: sync_client.formatted(gateway_tables.text(), TABLES)}
    for path, text in texts.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(text, encoding="utf-8")
    return sorted([*names, *texts])


def generate_messages(out: Path) -> list[Path]:
    """Generates the client's own messages from what generate_server has written below `out`.

    They use a separate descriptor pool: the server's messages, or those that a caller generated from another
    release's proto files, have the same names, and a pool only accepts each name once.
    """
    (out / CLIENT_V1).mkdir(parents=True, exist_ok=True)
    (out / CLIENT_V1 / "__init__.py").write_text('"""Generated from proto/: the messages of the typed services."""\n')
    names = [CLIENT_V1 / "__init__.py"]
    for proto in CLIENT_PROTOS:
        code = (out / PACKAGE / f"{proto}_pb2.py").read_text()
        for old, new in (
            ("_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()"),
            (f"'sidecar.v1.{proto}_pb2'", f"'llm_gateway_client.v1.{proto}_pb2'"),
        ):
            if code.count(old) != 1:
                raise SystemExit(f"{proto}_pb2.py has {code.count(old)} times {old}: protoc's code has changed")
            code = code.replace(old, new)
        (out / CLIENT_V1 / f"{proto}_pb2.py").write_text(code)
        shutil.copy(out / PACKAGE / f"{proto}_pb2.pyi", out / CLIENT_V1)
        names += [CLIENT_V1 / f"{proto}_pb2.py", CLIENT_V1 / f"{proto}_pb2.pyi"]
    return names


def generate_server(out: Path) -> list[Path]:
    google = out / ".buf/googleapis"
    copy_google_api(google)
    (out / PACKAGE).mkdir(parents=True, exist_ok=True)
    protos = [str(path.relative_to(ROOT / "proto")) for path in sorted((ROOT / "proto").rglob("*.proto"))]
    wellknown = str(resources.files("grpc_tools").joinpath("_proto"))
    includes = [f"-I{ROOT / 'proto'}", f"-I{google}", f"-I{wellknown}"]
    outputs = [f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}"]
    descriptors = ["--include_imports", f"--descriptor_set_out={out / DESCRIPTORS}"]
    command = [sys.executable, "-m", "grpc_tools.protoc", *includes, *outputs, *descriptors, *protos]
    if (code := subprocess.run(command, check=False).returncode) != 0:
        raise SystemExit(code)
    return sorted(
        path.relative_to(out) for path in (out / PACKAGE).iterdir() if "_pb2" in path.name or path.suffix == ".pb"
    )


def stale(root: Path) -> list[str]:
    """The generated files below `root` that differ from proto/, are missing, or belong to no proto file."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        names = generate(root, fresh)
        differing = {
            str(n) for n in names if not (root / n).is_file() or (root / n).read_bytes() != (fresh / n).read_bytes()
        }
    left_over = {
        str(p.relative_to(root))
        for folder, pattern in FOLDERS.items()
        for p in (root / folder).glob(pattern)
        if p.relative_to(root) not in names
    }
    return sorted(differing | left_over)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a generated file is stale")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout whose generated files are meant")
    arguments = parser.parse_args()
    if not arguments.check:
        shutil.rmtree(arguments.root / ".buf", ignore_errors=True)
        generate(arguments.root, arguments.root)
        return 0
    copy_google_api(arguments.root / ".buf/googleapis")
    for name in (names := stale(arguments.root)):
        print(f"{name} is stale: run `make proto`", file=sys.stderr)
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
