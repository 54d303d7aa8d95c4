"""Finds keys in what callers send: refuses the gateway's own provider keys, and logs what looks like other keys.

A service that prints its environment into a prompt discloses its keys to a provider and to everybody who reads that
provider's logs. The search covers the text as received: the members of a JSON body, or a serialised message. Neither
the answer nor the log shows what was found.

Cost with 10 keys (2026): 6 µs for a prompt of 2 KB, 2 ms for 1 MB of ordinary text. It is linear in the text
whatever the text holds: a match reads no more than the shortest key of its format, and a kind that was found is not searched for
again. Large prompts are searched in slices, between which the event loop serves other calls.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from adapters import GatewayError, Kind
from sidecar.domain.call import Call
from sidecar.domain.large_work import LARGE_BYTES, off_loop
from sidecar.domain.snapshot import Snapshot
from sidecar.gateway.key_formats import ANY_MARK, KEY_BYTES_MAX, KEY_FORMATS, KeyFormat

log = logging.getLogger(__name__)

CODE: Final = "secret_in_prompt"
# Shorter keys ("test", "ollama") are words and would refuse innocent prompts. Keys issued by providers have 20
# characters and more.
KEY_CHARS_MIN = 16
# Each key costs 0.1 ms per MB when searched for individually; beyond this many, they are looked up by the words of
# the text.
_APART_MAX = 64
# Offsets at which a word may begin inside a run of key characters: serialised text is preceded by its length, in 1
# to 3 bytes.
_STARTS = 4

# Bytes searched at a time: 0.1 ms, or 3 ms if every character is escaped.
_PIECE_BYTES = 16 * 1024
# How long one slice of a search may hold the event loop. A small call needs some twenty turns of the loop and may
# wait for a slice at each.
_SLICE_S = 0.001


# A JSON encoder may escape any character, and some escape "/" or "<". Only a text with escapes is decoded, and only
# these escapes.
_ESCAPED = re.compile(rb"\\(?:u00[2-7]|/)")
_ESCAPE = re.compile(rb"\\(?:u00([2-7][0-9A-Fa-f])|/)")
_ESCAPE_BYTES = 6
_BACKSLASH = b"\\\\"  # as JSON encodes it: what follows a backslash pair is not escaped
_NO_JSON = b"\x01\x01"  # placeholder for a backslash pair during decoding; never occurs in JSON
_RUN = re.compile(rb"[^\x00-\x20\"',:;=()<>{}\[\]\\]{%d,}" % KEY_CHARS_MIN)


class _Search:
    """What has been found so far in one text."""

    __slots__ = ("kinds", "provider")

    def __init__(self) -> None:
        self.provider: str | None = None  # provider of an own key that was found; ends the search
        self.kinds: set[str] = set()


class PromptSecrets:
    """The search for the keys of one snapshot, which are collected once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._mode = snapshot.secrets_in_prompts
        self._keys: dict[bytes, str] = {}  # every encoding of a key -> its provider
        self._words: dict[int, dict[bytes, str]] = {}  # by length, if there are too many to search for individually
        self._overlap = KEY_BYTES_MAX
        self._turn = asyncio.Lock()
        if self._mode == "off":
            return
        found = {form: provider for key, provider in _keys(snapshot) for form in _forms(key)}
        self._overlap = max(map(len, found), default=0) + KEY_BYTES_MAX
        if len(found) <= _APART_MAX:
            self._keys = found
        else:
            for form, provider in found.items():
                self._words.setdefault(len(form), {})[form] = provider

    def is_plain(self, call: Call) -> bool:
        """Whether a small call holds nothing that could be part of a key, which is true of nearly all calls. Pass
        the others to `check`."""
        if self._mode == "off":
            return True
        if call.size_bytes > _PIECE_BYTES or self._words:
            return False
        texts = _texts_of(call)
        return sum(map(len, texts)) <= _PIECE_BYTES and self._has_no_mark(b"\0".join(texts))

    async def check(self, call: Call) -> None:
        """Raises invalid_request with code secret_in_prompt if the call holds one of the gateway's own keys and the
        config refuses those. Logs what was found. Other calls are served while a large text is searched."""
        if self._mode == "off":
            return
        size = call.size_bytes
        texts = _texts_of(call) if size <= LARGE_BYTES else await off_loop(size, _texts_of, call)
        found = _Search()
        slices = self._slices(texts, found)
        for _ in slices:  # a small text fits into one slice
            await self._search_rest(slices)
        if found.provider is not None:
            _log(call, f"the gateway's own key of {found.provider}", refused=self._mode == "refuse")
            if self._mode == "refuse":
                raise GatewayError(
                    Kind.INVALID_REQUEST,
                    "The request holds one of the gateway's own provider keys. It was not forwarded; remove the key.",
                    code=CODE,
                )
        elif found.kinds:
            _log(call, f"something like a key ({', '.join(sorted(found.kinds))})", refused=False)

    def _has_no_mark(self, text: bytes) -> bool:
        """Whether none of the joined texts has a mark. Joining can only add matches, never hide one."""
        if has_mark(text):
            return False
        for key in self._keys:
            if key in text:
                return False
        return b"\\" not in text or _ESCAPED.search(text) is None

    async def _search_rest(self, slices: Iterator[None]) -> None:
        """Runs the remaining slices, one per turn of the event loop and alternating between calls. A thread would
        not help: the regular expression engine holds the GIL, so the loop would wait even longer."""
        more = True
        while more:
            async with self._turn:
                await asyncio.sleep(0)
                more = next(slices, True) is None

    def _slices(self, texts: Iterable[bytes], found: _Search) -> Iterator[None]:
        """Searches the texts, yielding whenever it has held the event loop for one slice."""
        began_s = time.perf_counter()
        for text in texts:
            for window in _windows(text, self._overlap):
                self._search(window, found)
                if found.provider is not None:
                    return
                if time.perf_counter() - began_s > _SLICE_S:
                    yield
                    began_s = time.perf_counter()

    def _search(self, window: bytes, found: _Search) -> None:
        found.provider = self._find_own_key(window)
        if not has_mark(window):
            return
        for kind, key_format in KEY_FORMATS.items():
            if kind not in found.kinds and _has_key(key_format, window):
                found.kinds.add(kind)

    def _find_own_key(self, text: bytes) -> str | None:
        """Returns the provider of a key in the text, or None."""
        for key, provider in self._keys.items():
            if key in text:
                return provider
        for run in _RUN.finditer(text) if self._words else ():
            start, end = run.span()
            for length, keys in self._words.items():
                for at in range(start, min(start + _STARTS, end - length + 1)):
                    if (found := keys.get(text[at : at + length])) is not None:
                        return found
        return None


def has_mark(text: bytes) -> bool:
    """Whether the text has the beginning of a well-known key."""
    return any(pattern.search(text) for pattern in ANY_MARK)


def known_kinds(text: bytes) -> list[str]:
    """Returns the kinds of well-known keys that the text seems to hold."""
    return sorted(kind for kind, key_format in KEY_FORMATS.items() if _has_key(key_format, text))


def _has_key(key_format: KeyFormat, text: bytes) -> bool:
    return any(mark in text for mark in key_format.marks) and key_format.pattern.search(text) is not None


def _windows(text: bytes, overlap: int) -> Iterator[bytes]:
    """Yields the text in windows, each preceded by the last `overlap` bytes of the previous one; a window with
    escapes is yielded decoded as well."""
    before = decoded_before = b""
    start = 0
    while start < len(text):
        end = _piece_end(text, start)
        piece = text[start:end]
        decoded = _unescaped(piece) if _ESCAPED.search(piece) else piece
        window = before + piece
        yield window
        if decoded is piece and decoded_before is before:
            before = decoded_before = window[-overlap:]
        else:
            decoded_window = decoded_before + decoded
            yield decoded_window
            before, decoded_before = window[-overlap:], decoded_window[-overlap:]
            if decoded_before == before:
                decoded_before = before
        start = end


def _piece_end(text: bytes, start: int) -> int:
    """Returns an index that does not split an escape, given that `start` does not."""
    end = start + _PIECE_BYTES
    if end >= len(text):
        return len(text)
    last = text.rfind(b"\\", max(start, end - _ESCAPE_BYTES + 1), end)
    if last < 0:
        return end
    run = text[start : last + 1]
    escapes = (len(run) - len(run.rstrip(b"\\"))) % 2 == 1  # an even number of backslashes escape each other
    return last if escapes else end


def _unescaped(text: bytes) -> bytes:
    """Decodes the escapes of key characters. Other escapes and escaped backslashes stay as they are."""
    return _ESCAPE.sub(_character, text.replace(_BACKSLASH, _NO_JSON)).replace(_NO_JSON, _BACKSLASH)


def _character(escape: re.Match[bytes]) -> bytes:
    return b"/" if escape[1] is None else bytes([int(escape[1], 16)])


def _keys(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    if snapshot.responses is not None and snapshot.responses.encryption_key is not None:
        yield snapshot.responses.encryption_key.reveal(), "responses"
    for route in snapshot.routes.values():
        for upstream in route.upstreams:
            secrets = (upstream.key, upstream.grant.client_secret if upstream.grant is not None else None)
            for secret in secrets:
                if secret is not None and len(secret.reveal()) >= KEY_CHARS_MIN:
                    yield secret.reveal(), upstream.provider


def _forms(key: str) -> set[bytes]:
    """The key as plain text and as encoded in JSON."""
    return {key.encode(), json.dumps(key, ensure_ascii=False)[1:-1].encode(), json.dumps(key)[1:-1].encode()}


def _texts_of(call: Call) -> Sequence[bytes]:
    if call.envelope is None:
        return () if call.request is None else (call.request.SerializeToString(),)
    members = call.envelope.members
    return (*members.values(), *(name.encode("utf-8", "replace") for name in members))


def _log(call: Call, what: str, *, refused: bool) -> None:
    log.warning(
        "%s in a prompt%s: route %s, consumer %r, request %s",
        what,
        ", refused" if refused else "",
        call.route,
        call.consumer.name,
        call.request_id,
    )
