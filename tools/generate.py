"""Writes what comes from proto/: sidecar/v1 and its descriptor set. `--check` says what is stale and changes nothing.

The imports of google/api come from the googleapis-common-protos package, so nothing is fetched; they are copied to
.buf/googleapis because buf reads folders only.
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
PACKAGE = Path("sidecar/v1")
DESCRIPTORS = PACKAGE / "descriptors.pb"
# What rest.proto imports, and what those import.
GOOGLE_API = ("google/api/annotations.proto", "google/api/http.proto", "google/api/httpbody.proto")


def copy_google_api(target: Path) -> None:
    """Puts the imported google/api files below `target`."""
    source = resources.files("google.api")
    for name in GOOGLE_API:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.joinpath(path.name).read_bytes())


def generate(out: Path) -> list[Path]:
    """Writes all generated files below `out` and gives their paths relative to it. Raises SystemExit when protoc refuses."""
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
    """Names the generated files below `root` that differ from what proto/ says, are missing, or belong to no proto file."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        names = generate(fresh)
        differing = {
            str(n) for n in names if not (root / n).is_file() or (root / n).read_bytes() != (fresh / n).read_bytes()
        }
    left_over = {
        str(p.relative_to(root)) for p in (root / PACKAGE).glob("*_pb2*.py*") if p.relative_to(root) not in names
    }
    return sorted(differing | left_over)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a generated file is stale")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout whose generated files are meant")
    arguments = parser.parse_args()
    if not arguments.check:
        shutil.rmtree(arguments.root / ".buf", ignore_errors=True)
        generate(arguments.root)
        return 0
    copy_google_api(arguments.root / ".buf/googleapis")
    for name in (names := stale(arguments.root)):
        print(f"{name} is stale: run `make proto`", file=sys.stderr)
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
