"""Who has a file open, as far as the kernel tells."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.config.file_marks import mark

# tmp_path lies on a file system of this machine; tests of the rest use /proc, which has no leases.
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("whole")
    return path


@pytest.mark.parametrize("mode", ["r+", "a", "w", "r+b"])
def test_a_file_that_is_open_for_writing_is_being_written_until_it_is_closed(file: Path, mode: str) -> None:
    assert mark(str(file)).written is False
    with file.open(mode):
        assert mark(str(file)).written is True
    assert mark(str(file)).written is False


def test_another_process_counts_and_one_that_only_reads_does_not(file: Path) -> None:
    for mode, written in (("a", True), ("r", False)):
        code = f"f = open({str(file)!r}, {mode!r}); print(1, flush=True); input()"
        with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()
            assert mark(str(file)).written is written
            process.stdin.close()
    assert mark(str(file)).written is False


def test_a_writable_mapping_counts_after_its_file_is_closed(file: Path) -> None:
    with file.open("r+b") as opened:
        memory = mmap.mmap(opened.fileno(), 0)
    assert mark(str(file)).written is True
    memory.close()
    assert mark(str(file)).written is False


def test_it_looks_through_symlinks(file: Path) -> None:
    link = file.with_name("link")
    link.symlink_to(file)
    with file.open("a"):
        assert mark(str(link)).written is True
    assert mark(str(link)) == mark(str(file))


def test_every_kind_of_change_makes_another_mark(file: Path) -> None:
    seen = [mark(str(file))]
    before = file.stat()
    file.write_text("WHOLE")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # as `cp --preserve` leaves it
    seen.append(mark(str(file)))
    file.with_name("other").write_text("whole")
    file.with_name("other").rename(file)
    seen.append(mark(str(file)))
    file.unlink()
    seen.append(mark(str(file)))
    assert len(set(seen)) == 4


def test_what_is_no_file_never_blocks_and_is_not_being_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "missing", ".", "a\0b", "x" * 5000):
        assert mark(str(tmp_path / name)).written is False


def test_where_nobody_can_tell_it_says_so() -> None:
    assert mark("/proc/self/status").written is None


def test_looking_does_not_end_a_process_whose_file_is_opened_for_writing_just_then(file: Path) -> None:
    """The kernel signals whoever holds a lease; the signal's default is death."""
    code = f"while True: open({str(file)!r}, 'a').close()"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        seen = {mark(str(file)).written for _ in range(3000)}
        process.kill()
    assert True in seen
