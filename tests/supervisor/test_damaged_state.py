"""Files of the state directory that are damaged between two runs: made anew where they can be, else refused by name, never with
a traceback."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.cli.running import FRONT_PORTS
from tests.processes import RunningProcess
from tests.provider import Provider
from tests.stack.stack import Stack, config_for

ASK = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
RANDOM = bytes((each * 167 + 13) % 256 for each in range(4096))


def _folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def _to_nowhere(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/nonexistent/file")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "random bytes": lambda path: path.write_bytes(RANDOM),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a folder": _folder,
    "a link to nowhere": _to_nowhere,
}
# What is made anew, whatever became of it, and what a start refuses by name.
MADE = ("ca.key", "tls.crt", "env", "front/nginx.conf", "run/sums", "run/rates", "logs/nginx.log", "lock")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, str]]:
    """A state directory that a gateway has used, its API key and a config."""
    folder = tmp_path_factory.mktemp("ran")
    with Provider() as provider:
        config = config_for(provider)
        with Stack(folder, config, workers=1) as stack:
            with stack.http() as http:
                assert http.post("/v1/chat/completions", json=ASK).status_code == 200
            key = stack.api_key
            assert stack.stop() == 0
        yield folder, key, config


def _copy(ran: Path, folder: Path) -> Path:
    state = folder / "state"
    shutil.copytree(ran / "state", state, ignore=lambda at, names: [each for each in names if each.endswith(".sock")])
    return state


@pytest.mark.parametrize("kind", ["random bytes", "empty", "cut", "a link to nowhere"])
def test_all_that_can_be_made_anew_is(ran: tuple[Path, str, str], tmp_path: Path, kind: str) -> None:
    """Certificates, the env file, settings of the front, shared memory, at once."""
    before, key, config = ran
    state = _copy(before, tmp_path)
    for name in MADE:
        if kind != "a link to nowhere" or name not in ("lock", "logs/nginx.log"):
            path = state / name
            path.parent.mkdir(exist_ok=True)
            if kind != "cut" or path.exists():
                DAMAGE[kind](path)
    with Stack(tmp_path, config, workers=1) as stack:
        with httpx.Client(base_url=stack.url, verify=stack.trust(), timeout=30) as http:
            answer = http.post("/v1/chat/completions", json=ASK, headers={"authorization": f"Bearer {key}"})
        assert answer.status_code == 200
        assert f"{state / 'ca.pem'} and ca.key are no longer used" in stack.log
        assert "Traceback" not in stack.log
        assert stack.stop() == 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(
            (name, "a folder")
            for name in ("ca.key", "ca.pem", "env", "lock", "users", "spend.sqlite", "logs/nginx.log")
        ),
        *((name, "a link to nowhere") for name in ("lock", "logs/nginx.log")),
        ("spend.sqlite", "random bytes"),
    ],
)
def test_what_cannot_is_refused_by_name(ran: tuple[Path, str, str], tmp_path: Path, name: str, kind: str) -> None:
    before, _, config = ran
    state = _copy(before, tmp_path)
    DAMAGE[kind](state / name)
    (tmp_path / "config.yaml").write_text(config)
    arguments = (
        "up",
        "--state-dir",
        str(state),
        "--workers",
        "1",
        *FRONT_PORTS,
        "--config-path",
        str(tmp_path / "config.yaml"),
    )
    process = RunningProcess.python("-m", "sidecar", *arguments)
    try:
        process.wait_for_line("^sidecar: ", 60)
        process.wait(60)
    finally:
        process.kill()
    lines = [line for line in process.output.splitlines() if line.startswith("sidecar: ")]
    assert any(name in line for line in lines), process.output
    assert "Traceback" not in process.output
