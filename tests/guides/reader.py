"""A page of docs/guides typed from top to bottom, as a reader does it: files are written, commands are run, outputs compared.

- A block whose first line is a comment with a file's name (`# config.yaml`, `// call.ts`) is that file.
- A block of `sh` is typed into one shell, which keeps variables and folders from one block to the next.
- A block of `text` after it is what was printed: each of its lines is there, in this order; `…` stands for anything.
- A block of `sh` under `<!-- not here: REASON -->` is not typed.

The shell runs in an empty folder with an empty HOME and a network of its own, where the ports of the page are free and where a
provider simulator answers in place of the real ones. A page that asks for a checkout in `llm-gateway` finds this one there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.processes import REPOSITORY, RunningProcess

PROVIDER_PORT = 9000
_FENCE = re.compile(
    r"^(?P<note><!-- not here: [^\n]+ -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_FILE = re.compile(r"^(?:#|//) ([\w./-]+\.[a-z]+)\n")
_BLOCK_S = 120.0
# In a flow mapping, or on a line of its own.
_KEYS = re.compile(r"(?P<indent>^ +)?(?P<name>openai|anthropic)_api_key: *(?P<key>[^,}\s]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page, at a line of it."""

    line: int
    language: str
    text: str
    is_typed: bool = True

    @property
    def file(self) -> str | None:
        found = _FILE.match(self.text)
        return found[1] if found else None


def blocks(page: str) -> list[Block]:
    return [
        Block(page.count("\n", 0, found.start()) + 1, found["language"], found["text"], found["note"] is None)
        for found in _FENCE.finditer(page)
    ]


def with_simulator(text: str) -> str:
    """A configuration whose upstreams are the simulator."""
    root = f"http://127.0.0.1:{PROVIDER_PORT}"
    bases = {"openai": f"{root}/v1", "anthropic": root}

    def more(found: re.Match[str]) -> str:
        between = ", " if found["indent"] is None else f"\n{found['indent']}"
        return f"{found[0]}{between}{found['name']}_api_base: {bases[found['name']]}"

    return _KEYS.sub(more, text)


def missing(expected: str, printed: str) -> str | None:
    """The first line of `expected` that was not printed after those before it."""
    position = 0
    for line in filter(None, map(str.strip, expected.splitlines())):
        pattern = ".*".join(map(re.escape, line.split("…")))
        found = re.compile(pattern).search(printed, position)
        if found is None:
            return line
        position = found.end()
    return None


class Reader:
    """Somebody in front of a shell, in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "work"
        self._folder.mkdir()
        (folder / "home").mkdir()
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SIDECAR", "PYTHON", "OPENAI", "ANTHROPIC"))
        }
        path = f"{Path(sys.executable).parent}:{kept['PATH']}"
        env = {**kept, "HOME": str(folder / "home"), "PATH": path, "PS1": "", "NO_COLOR": "1"}
        namespace = ["unshare", "-n" if os.geteuid() == 0 else "-rn", "sh", "-c", "ip link set lo up && exec bash"]
        self._shell = subprocess.Popen(
            namespace, cwd=self._folder, env=env, text=True, errors="replace",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.types("true")  # the shell is there: so is its network
        self._network = os.stat(f"/proc/{self._shell.pid}/ns/net").st_ino
        self._provider = RunningProcess(
            ["nsenter", *self._namespaces(), sys.executable, "-m", "tests.provider", "--port", str(PROVIDER_PORT)]
        )
        self._provider.wait_for_line("^provider simulator at")

    def _namespaces(self) -> list[str]:
        extra = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return [f"--target={self._shell.pid}", "--net", *extra]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._provider.kill()
        if self._shell.poll() is None:
            assert self._shell.stdin is not None
            self._shell.stdin.close()
        try:
            self._shell.wait(_BLOCK_S)
        finally:
            self._kill_what_is_left()
            if self._shell.stdout is not None:
                self._shell.stdout.close()

    def _kill_what_is_left(self) -> None:
        """A guide that breaks off leaves what it started: all of it is in the shell's network."""
        self._shell.kill()
        for process in psutil.process_iter():
            with suppress(OSError, psutil.NoSuchProcess):
                if os.stat(f"/proc/{process.pid}/ns/net").st_ino == self._network:
                    process.kill()

    def has_checkout(self) -> None:
        (self._folder / "llm-gateway").symlink_to(REPOSITORY)

    def writes(self, name: str, text: str) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(with_simulator(text) if path.suffix == ".yaml" else text)

    def types(self, text: str) -> tuple[int, str]:
        """The exit code of the last command, and what all printed."""
        stdin, stdout = self._shell.stdin, self._shell.stdout
        assert stdin is not None
        assert stdout is not None
        marker = f"::{os.urandom(8).hex()}"
        stdin.write(f"{text}\necho {marker} $?\n")
        stdin.flush()
        watch = threading.Timer(_BLOCK_S, self._shell.kill)
        watch.start()
        printed = []
        try:
            for line in stdout:
                before, found, code = line.partition(marker)
                printed.append(before)
                if found:
                    return int(code), "".join(printed)
        finally:
            watch.cancel()
        raise AssertionError(f"the shell ended: {''.join(printed)}")


def read(page: Path, folder: Path) -> None:
    """Does all that a page says. AssertionError with the line of the first thing that does not work."""
    text = page.read_text()
    printed = ""
    with Reader(folder) as reader:
        if "llm-gateway/" in text:
            reader.has_checkout()
        for block in blocks(text):
            where = f"{page.name}:{block.line}"
            if block.file is not None:
                reader.writes(block.file, block.text)
            elif block.language == "sh" and block.is_typed:
                code, printed = reader.types(block.text)
                assert code == 0, f"{where}: exit code {code}\n{printed}"
            elif block.language == "text":
                absent = missing(block.text, printed)
                assert absent is None, f"{where}: not printed: {absent}\n{printed}"
