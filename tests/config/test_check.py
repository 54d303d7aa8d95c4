"""`sidecar check FILE`, and files as they lie on a disk."""

from __future__ import annotations

import os
from pathlib import Path

import sidecar.config
from sidecar.config import check
from tests.config.loading import ENV, route


def _written(directory: Path, data: bytes | str) -> str:
    path = directory / "config.yaml"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return str(path)


def test_a_good_file_is_ok_with_its_routes_warnings_and_hash(tmp_path: Path) -> None:
    path = _written(tmp_path, route(config="openai_api_key: literal"))
    code, lines = check(path, ENV)
    assert code == 0
    assert lines[0].startswith(f"warning: {path}:4: routes[0].model.config.openai_api_key: contains the key")
    assert lines[1].startswith("ok: 1 route (hash ")


def test_a_route_to_the_local_model_is_ok_without_the_model_running(tmp_path: Path) -> None:
    assert check(_written(tmp_path, route(model="{provider: local, name: smollm2}")), {})[0] == 0


def test_a_bad_file_prints_every_problem(tmp_path: Path) -> None:
    path = _written(tmp_path, route(provider="opnai", type="llm/v1/chatt"))
    code, lines = check(path, ENV)
    assert code == 1
    assert [line.split(":")[1] for line in lines] == ["3", "4"]
    assert all(line.startswith(f"{path}:") for line in lines)


def test_a_file_that_is_missing_or_no_file_or_not_utf8_is_one_line(tmp_path: Path) -> None:
    gone, latin1 = str(tmp_path / "gone.yaml"), _written(tmp_path, "routes:\n  - name: m\xfcller\n".encode("latin-1"))
    assert check(gone, {}) == (1, [f"{gone}: does not exist"])
    assert check(str(tmp_path), {}) == (1, [f"{tmp_path}: is not a file"])
    assert check(latin1, {}) == (1, [f"{latin1}:2: not UTF-8; save the file as UTF-8"])


def test_secret_files_start_at_the_configs_directory_and_literals_of_any_length_are_no_paths(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-1\n")
    assert check(_written(tmp_path, route(config="openai_api_key: file:key")), {})[0] == 0
    assert check(_written(tmp_path, route(config=f"openai_api_key: {'k' * 300}")), {})[0] == 0
    assert check(_written(tmp_path, route(config=f"openai_api_key: {'k/' * 3000}k")), {})[0] == 0


def test_a_key_file_of_bytes_that_are_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfe\x00")
    code, lines = check(_written(tmp_path, route(config="openai_api_key: file:key")), {})
    assert code == 1
    assert "which headers do not allow" in lines[0]


def test_a_pipe_is_no_key_file_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key")
    code, lines = check(_written(tmp_path, route(config="openai_api_key: file:key")), {})
    assert code == 1
    assert "does not exist" in lines[0]


def test_the_default_config_of_a_first_start_is_ok_without_warnings() -> None:
    path = Path(sidecar.config.__file__).with_name("default.yaml")
    code, lines = check(str(path), {})
    assert (code, len(lines)) == (0, 1)
