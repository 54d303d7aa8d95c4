"""The state directory: private, locked, with socket paths that fit."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from sidecar.supervisor.start.start_error import StartError
from sidecar.supervisor.start.state import StateDir, running_pid, write_private


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_directories_are_private_even_where_the_state_directory_was_not(tmp_path: Path) -> None:
    root = tmp_path / "state"
    root.mkdir(mode=0o755)
    state = StateDir.open(root)
    assert {_mode(path) for path in (root, state.run, state.logs, state.front)} == {0o700}
    state.close()


def test_files_are_written_for_their_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "env").touch(mode=0o644)
    write_private(tmp_path / "env", "secret")
    assert _mode(tmp_path / "env") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["env"]


def test_a_second_supervisor_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    state = StateDir.open(tmp_path)
    with pytest.raises(StartError, match=r"in use by a running gateway \(pid \d+\). Stop it with `sidecar down"):
        StateDir.open(tmp_path)
    assert running_pid(tmp_path) is not None
    state.close()
    assert running_pid(tmp_path) is None
    StateDir.open(tmp_path).close()


def test_a_long_path_moves_the_sockets_to_a_short_private_directory_that_goes_away(tmp_path: Path) -> None:
    root = tmp_path / ("long" * 20)
    state = StateDir.open(root)
    run = state.run
    assert root not in run.parents
    assert len(str(run / "w99-1234567.sock")) <= 107
    assert _mode(run) == 0o700
    state.close()
    assert not run.exists()


def test_a_short_directory_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    root = tmp_path / ("long" * 20)
    state = StateDir.open(root)
    run = state.run
    state.close()
    run.mkdir(mode=0o755)
    run.chmod(0o755)
    try:
        with pytest.raises(StartError, match="not a private directory of this user"):
            StateDir.open(root)
    finally:
        run.rmdir()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        StartError,
        match=r"/file/state cannot be used: Not a directory. Choose another with --state-dir",
    ):
        StateDir.open(tmp_path / "file" / "state")


def test_what_a_dead_supervisor_left_is_cleared(tmp_path: Path) -> None:
    for name in ("run", "metrics"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "old").touch()
    state = StateDir.open(tmp_path)
    assert not list(state.run.iterdir())
    assert not (tmp_path / "metrics").exists()
    state.close()
