"""Files of the state directory and of routes.d/ that are damaged between two runs: made again where they can be, else refused by
name. What there is to damage is what a gateway has made: a new file is tried by being there.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.cli.running import FRONT_PORTS, sidecar
from tests.processes import RunningProcess
from tests.provider import Provider
from tests.stack.stack import Stack, config_for

ASK = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
RANDOM = bytes((each * 167 + 13) % 256 for each in range(4096))
MORE = """\
manage_routes: true
responses: {remember: 1h}
consumers: [{name: admins, users: [sidecar], roles: [admin]}]
"""


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
CONTENT = ("random bytes", "empty", "cut")
PLACE = ("a folder", "a link to nowhere")
# What only its owner can bring back. Any other file is made again, whatever its content became.
KEPT = re.compile(r"config\.yaml|routes\.d/.*|state/(users|spend\.sqlite.*)")
# A name in those patterns and the kinds of damage with which a start is refused; `routes.d/x` is never overlooked.
REFUSED = {
    r"routes\.d/(made\.yaml|limits/chat\.json|secrets/made-\w+)": ("random bytes", *PLACE),
    r"state/spend\.sqlite": PLACE,
    r"state/users": ("a folder", "random bytes"),
    r"state/(ca\.pem|env|lock|logs/nginx\.log|front/nginx\.conf)": ("a folder",),
    r"state/(lock|logs/nginx\.log)": ("a link to nowhere",),
}


@dataclass(frozen=True, slots=True)
class Ran:
    """Config, state and routes.d/ as they are while a gateway runs, and would be after a power cut; and its API key."""

    folder: Path
    key: str
    files: tuple[str, ...]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = tmp_path_factory.mktemp("ran")
    with Provider() as provider:
        with Stack(folder, config_for(provider) + MORE, workers=1) as stack:
            with stack.http() as http:
                model = {"provider": "openai-compatible", "name": "m"}
                config = {"base_url": provider.base_url, "api_key": "sk-planted-0123456789"}
                made = {"name": "made", "route_type": "llm/v1/chat", "model": {**model, "config": config}}
                limits = {"route": "chat", "limits": [{"calls": 500, "renewal_period": "minute"}]}
                for path, body in (
                    ("/api/2.0/gateway/routes", made),
                    ("/api/2.0/gateway/limits", limits),
                    ("/v1/chat/completions", ASK),
                    ("/v1/responses", {"model": "chat", "input": "hi"}),
                ):
                    assert http.post(path, json=body).status_code == 200
            found = _copied(folder, tmp_path_factory.mktemp("found"))
            key = stack.api_key
        yield Ran(found, key, tuple(_files(found)))


def _files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder))


def _copied(folder: Path, target: Path) -> Path:
    """Without sockets."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.sock"), dirs_exist_ok=True)
    return target


def _refused_with(name: str) -> list[str]:
    return [kind for pattern, kinds in REFUSED.items() if re.fullmatch(pattern, name) for kind in kinds]


@pytest.mark.parametrize("kind", [*CONTENT, "a link to nowhere"])
def test_all_that_can_be_made_again_is(ran: Ran, tmp_path: Path, kind: str) -> None:
    """Certificates, the env file, what is remembered, settings of the front, shared memory, at once."""
    folder = _copied(ran.folder, tmp_path)
    damaged = [name for name in ran.files if not KEPT.fullmatch(name) and kind not in _refused_with(name)]
    assert len(damaged) > 20
    for name in damaged:
        DAMAGE[kind](folder / name)
    with Stack(folder, (folder / "config.yaml").read_text(), workers=1) as stack:
        with httpx.Client(base_url=stack.url, verify=stack.trust(), timeout=30) as http:
            headers = {"authorization": f"Bearer {ran.key}"}
            for path, body in (
                ("/v1/chat/completions", ASK),
                ("/v1/chat/completions", {**ASK, "model": "made"}),
                ("/v1/responses", {"model": "chat", "input": "hi"}),
            ):
                assert http.post(path, json=body, headers=headers).status_code == 200
        log = stack.process.output  # nginx.log has the random bytes
        if kind != "a link to nowhere":  # a CA that is not there is made, and nobody is told that it changed
            assert f"{folder / 'state' / 'ca.pem'} and ca.key are no longer used" in log
        assert "Traceback" not in log
        assert "a bug in" not in log
        assert stack.stop() == 0


def test_what_cannot_is_refused_by_name(ran: Ran, tmp_path: Path) -> None:
    """One file at a time, in every way in which it cannot be used: one line, with its name, and what to do."""
    wrong = []
    for name in ran.files:
        for kind in _refused_with(name):
            folder = _copied(ran.folder, tmp_path / "run")
            DAMAGE[kind](folder / name)
            output = _start(folder)
            lines = [line for line in output.splitlines() if line.startswith("sidecar: ")]
            if len(lines) != 1 or Path(name).name not in lines[0] or "Traceback" in output:
                wrong.append(f"{name}, {kind}: {output[-500:]}")
            shutil.rmtree(folder)
    assert wrong == []
    assert all(any(re.fullmatch(pattern, name) for name in ran.files) for pattern in REFUSED)


def _start(folder: Path) -> str:
    """What a start says that must fail."""
    arguments = ("up", "--state-dir", str(folder / "state"), "--workers", "1", *FRONT_PORTS)
    process = RunningProcess.python("-m", "sidecar", *arguments, "--config-path", str(folder / "config.yaml"))
    try:
        process.wait_for_line("^sidecar: |^Sidecar is running", 60)
        if "Sidecar is running" not in process.output:
            process.wait(60)
    finally:
        process.kill()
    return process.output


def test_a_command_names_a_damaged_file_too(ran: Ran, tmp_path: Path) -> None:
    folder = _copied(ran.folder, tmp_path)
    DAMAGE["a folder"](folder / "routes.d" / "limits" / "chat.json")
    DAMAGE["random bytes"](folder / "state" / "env")
    ended = sidecar(
        "explain", "chat", "--config-path", str(folder / "config.yaml"), "--state-dir", str(folder / "state")
    )
    assert ended.returncode == 1
    assert "routes.d/limits/chat.json" in ended.stderr
    assert "Traceback" not in ended.stderr
