"""A provider key that can be recognised wherever it turns up: whole, its ends, and in base64."""

from __future__ import annotations

import secrets
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

# From here on a piece of a key says too much.
PIECE = 8


class Canary:
    """A key of a shape that no pattern knows, so that nothing but the key itself can be what hides it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.key = f"{name[0]}Q{secrets.token_urlsafe(36)}{name[-1]}"

    def needles(self) -> dict[str, bytes]:
        """What must not be found, by what it is."""
        key = self.key.encode()
        bearer = b64encode(b"Bearer " + key)
        basic = b64encode(b"user:" + key)
        encoded = b64encode(key)
        return {
            "the key": key,
            "its beginning": key[:PIECE],
            "its end": key[-PIECE:],
            "a piece of it": key[PIECE : 2 * PIECE + 4],
            "its base64": encoded.rstrip(b"=")[:-1],
            "the beginning of its base64": encoded[: PIECE + 4],
            "the end of its base64": encoded.rstrip(b"=")[-PIECE - 5 : -1],
            "its header's base64": bearer[12:32],
            "its basic credential's base64": basic[8:28],
            "the key in a URL": quote(self.key, safe="").encode(),
            "the key backwards": key[::-1],
        }

    def echoes(self) -> str:
        """What a careless provider writes into an error."""
        key = self.key
        words = (key, key[:PIECE], key[-PIECE:], key[4:24], b64encode(key.encode()).decode())
        encoded = (b64encode(f"Bearer {key}".encode()).decode(), b64encode(f"user:{key}".encode()).decode())
        return "You sent " + " and ".join((*words, *encoded)) + "."


class Scanner:
    """Collects findings: `look` at anything, then `findings` must be empty. `looked` counts bytes."""

    def __init__(self, canaries: list[Canary]) -> None:
        self._needles = {
            f"{canary.name}: {what}": needle for canary in canaries for what, needle in canary.needles().items()
        }
        self.findings: list[str] = []
        self.looked = 0

    def look(self, where: str, what: bytes | str) -> None:
        data = what.encode(errors="replace") if isinstance(what, str) else what
        self.looked += len(data)
        self.findings += [f"{name} in {where}" for name, needle in self._needles.items() if needle in data]

    def look_into(self, folder: Path) -> None:
        """Every file below it, names and symlinks' targets too."""
        for path in sorted(folder.rglob("*")):
            self.look(f"the name {path.name!r}", str(path.relative_to(folder)))
            if path.is_symlink():
                self.look(f"the target of {path.name}", str(path.readlink()))
            elif path.is_file():
                self.look(f"file {path.relative_to(folder)}", path.read_bytes())

    def look_at_process(self, pid: int, *, environment: bool) -> None:
        """Its command line and title, and what it was started with in its environment."""
        proc = Path(f"/proc/{pid}")
        try:
            command = (proc / "cmdline").read_bytes()
            self.look(f"the command line of {pid}", command + (proc / "comm").read_bytes())
            if environment:
                self.look(
                    f"the environment of {command.replace(bytes(1), b' ').decode()!r}", (proc / "environ").read_bytes()
                )
        except OSError:  # it ended just now
            return
