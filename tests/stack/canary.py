"""A provider key that can be recognised wherever it turns up (whole, its ends, in base64), and a provider that spreads it."""

from __future__ import annotations

import secrets
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

from tests.provider import Call, Reply, data, default_reply, error_reply, json_reply, sse_reply

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


class Careless:
    """A provider that repeats the key it was sent in whatever way the prompt asks for."""

    def __init__(self, canaries: dict[str, Canary]) -> None:
        self._by_key = {canary.key: canary for canary in canaries.values()}
        self.seen: set[tuple[str, str]] = set()  # whose key came with which wish

    def __call__(self, call: Call) -> Reply | None:
        canary = self._by_key.get(call.key)
        if canary is None:
            return error_reply(call, 400, "this is none of the keys")
        content = call.json["messages"][0]["content"]
        wish = content if isinstance(content, str) else content[0]["text"]
        self.seen.add((canary.name, wish))
        return self._answer(call, wish, canary.echoes())

    def _answer(self, call: Call, wish: str, echo: str) -> Reply | None:
        leaky = (("x-request-id", call.key), ("retry-after", "70"), ("x-ratelimit-reset", echo), ("x-debug", echo))
        match wish:
            case "ok":
                return default_reply(call, call.json)
            case "html":
                return Reply(502, (("content-type", "text/html"),), (f"<html><h1>Bad</h1>{echo}</html>".encode(),))
            case "headers":
                return json_reply(
                    {"error": {"message": echo, "type": echo, "code": call.key, "param": echo}}, 429, leaky
                )
            case "redirect":
                return Reply(307, (("location", f"http://127.0.0.1:9/{call.key}"), *leaky), (echo.encode(),))
            case "no_json":
                return Reply(parts=(f"{{{echo}".encode(),), headers=(("content-type", "application/json"), *leaky))
            case "in_stream":
                event = data({"error": {"message": echo, "type": "server_error", "code": call.key}, "type": "error"})
                return sse_reply(
                    [*[part for part in default_reply(call, call.json).parts if isinstance(part, bytes)][:3], event]
                )
            case status:
                return error_reply(call, int(status), echo, call.key, leaky)
