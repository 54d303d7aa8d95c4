"""Keys in what callers send: the gateway's own, which it refuses, and what looks like somebody's, which it logs.

A service that prints its environment into a prompt gives its keys to a provider, and to whoever reads that provider's logs.
Searched is the text as it came: the members of a JSON body, or a message as it would be serialised. What is found is never
shown: not in the answer, not in the log.

Cost, 10 keys (2026): 20 µs for a prompt of 2 KB, 5 ms for 1 MB of ordinary text. It grows like the text, whatever is in it:
a match needs no more than its shortest form, and a kind that was found is not looked for again. A large prompt is searched in
pieces, and between them the event loop serves the other calls.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from adapters import GatewayError, Kind
from sidecar.domain.call import Call
from sidecar.domain.large_work import LARGE_BYTES, off_loop
from sidecar.domain.snapshot import Snapshot

log = logging.getLogger(__name__)

CODE: Final = "secret_in_prompt"
# Shorter ones ("test", "ollama") are words: they would refuse innocent prompts. A provider's own keys have 20 and more.
KEY_CHARS_MIN = 16
# Each costs 0.1 ms a MB by itself; beyond that they are looked up by the words of the text.
_APART_MAX = 64
# Where a word may begin inside a run of key characters: serialised text has its length in front, in 1 to 3 bytes.
_STARTS = 4

# What is searched at a time: 0.1 ms, or 3 ms where all of it is written in escapes.
_PIECE_BYTES = 16 * 1024
# How long a search holds the event loop. A small call needs some twenty turns of the loop and may wait for a slice at each.
_SLICE_S = 0.001


class _Form(NamedTuple):
    """What the keys of one kind look like. Without one of `marks` there is none; finding those is ten times as fast."""

    marks: tuple[bytes, ...]
    pattern: re.Pattern[bytes]


def _form(pattern: str, *marks: str) -> _Form:
    return _Form(tuple(mark.encode() for mark in marks), re.compile(pattern.encode()))


# What well-known keys look like, as their owners publish it for secret scanners. Enough of each not to match words and hashes,
# and no more: an open end (`{20,}`) would read a run of keys to its end from each of them.
_FORMATS: Final = {
    # https://platform.claude.com/docs (console keys)
    "anthropic": _form(r"sk-ant-[A-Za-z0-9_-]{20}", "sk-ant-"),
    # https://platform.openai.com/api-keys: project, service account and admin keys; then the first form, and those who took
    # it over (DeepSeek, OpenRouter's sk-or-v1-). "risk-" and "task-" are words: at least 20 in one piece, with a digit.
    "openai": _form(
        r"sk-(?:(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20}|(?:or-v1-)?(?=[A-Za-z]{0,40}[0-9])[A-Za-z0-9]{20})", "sk-"
    ),
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html: long-term and temporary access key ids
    "aws": _form(r"A[KS]IA[A-Z0-9]{16}", "AKIA", "ASIA"),
    # https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github
    "github": _form(
        r"gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22}", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"
    ),
    # https://docs.gitlab.com/security/tokens/#token-prefixes
    "gitlab": _form(r"glpat-[A-Za-z0-9_-]{20}", "glpat-"),
    # https://huggingface.co/docs/hub/security-tokens
    "huggingface": _form(r"hf_[A-Za-z0-9]{30}", "hf_"),
    # https://docs.cloud.google.com/docs/authentication/api-keys
    "google": _form(r"AIza[A-Za-z0-9_-]{35}", "AIza"),
    # https://docs.slack.dev/authentication/tokens
    "slack": _form(r"xox[abeoprs]-[A-Za-z0-9-]{10}", "xox"),
    # https://console.groq.com/keys
    "groq": _form(r"gsk_[A-Za-z0-9]{40}", "gsk_"),
    # https://docs.x.ai
    "xai": _form(r"xai-[A-Za-z0-9]{40}", "xai-"),
    # https://docs.stripe.com/keys
    "stripe": _form(r"sk_live_[A-Za-z0-9]{16}", "sk_live_"),
    # RFC 7468, section 10 and those before it
    "private-key": _form(r"-----BEGIN (?:[A-Z]{1,12} ){0,2}PRIVATE KEY-----", "-----BEGIN"),
}
_MARKS: Final = tuple(mark for form in _FORMATS.values() for mark in form.marks)
# The longest of them, rounded up: so much of a piece is searched again with the next one.
_FORM_BYTES_MAX = 64
# A JSON writer may escape any character, and some do it with "/" or "<". Only then is the text decoded, and only these.
_ESCAPED = re.compile(rb"\\(?:u00[2-7]|/)")
_ESCAPE = re.compile(rb"\\(?:u00([2-7][0-9A-Fa-f])|/)")
_ESCAPE_BYTES = 6
_BACKSLASH = b"\\\\"  # as JSON writes it: what follows it is not escaped
_NO_JSON = b"\x01\x01"  # in its place while the rest is decoded; JSON never has it
_RUN = re.compile(rb"[^\x00-\x20\"',:;=()<>{}\[\]\\]{%d,}" % KEY_CHARS_MIN)


class _Search:
    """What was found so far in one text."""

    __slots__ = ("kinds", "provider")

    def __init__(self) -> None:
        self.provider: str | None = None  # of an own key; then nothing more is looked for
        self.kinds: set[str] = set()


class PromptSecrets:
    """The search of one snapshot; its keys are gathered once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._mode = snapshot.secrets_in_prompts
        self._keys: dict[bytes, str] = {}  # in a form that a text may have -> its provider
        self._words: dict[int, dict[bytes, str]] = {}  # by length, where there are too many to look for each
        self._overlap = _FORM_BYTES_MAX
        self._turn = asyncio.Lock()
        if self._mode == "off":
            return
        found = {form: provider for key, provider in _keys(snapshot) for form in _forms(key)}
        self._overlap = max(map(len, found), default=0) + _FORM_BYTES_MAX
        if len(found) <= _APART_MAX:
            self._keys = found
        else:
            for form, provider in found.items():
                self._words.setdefault(len(form), {})[form] = provider

    def is_plain(self, call: Call) -> bool:
        """Whether a small call holds nothing that could be part of a key: true of nearly all. Others are for `check`."""
        if self._mode == "off":
            return True
        if call.size_bytes > _PIECE_BYTES or self._words:
            return False
        texts = _texts_of(call)
        return sum(map(len, texts)) <= _PIECE_BYTES and self._has_no_mark(b"\0".join(texts))

    async def check(self, call: Call) -> None:
        """Raises invalid_request with the code secret_in_prompt where the call holds one of the gateway's own keys and those are
        refused. What is found is logged. Other calls are served while a large text is searched."""
        if self._mode == "off":
            return
        size = call.size_bytes
        texts = _texts_of(call) if size <= LARGE_BYTES else await off_loop(size, _texts_of, call)
        found = _Search()
        slices = self._slices(texts, found)
        for _ in slices:  # a small text has no second slice
            await self._rest(slices)
        if found.provider is not None:
            _log(call, f"the gateway's own key of {found.provider}", refused=self._mode == "refuse")
            if self._mode == "refuse":
                raise GatewayError(
                    Kind.INVALID_REQUEST,
                    "The request holds one of the gateway's own provider keys. It was not sent on.",
                    code=CODE,
                )
        elif found.kinds:
            _log(call, f"something like a key ({', '.join(sorted(found.kinds))})", refused=False)

    def _has_no_mark(self, text: bytes) -> bool:
        """Joined from several, a text may hold more than each of them, and not less."""
        for mark in _MARKS:
            if mark in text:
                return False
        for key in self._keys:
            if key in text:
                return False
        return b"\\" not in text or _ESCAPED.search(text) is None

    async def _rest(self, slices: Iterator[None]) -> None:
        """One slice in a turn of the loop, however many calls are being searched: they take turns. Not in a thread: the engine
        keeps the interpreter to itself, so the loop would wait for it all the same, and longer."""
        more = True
        while more:
            async with self._turn:
                await asyncio.sleep(0)
                more = next(slices, True) is None

    def _slices(self, texts: Iterable[bytes], found: _Search) -> Iterator[None]:
        """Searches; yields whenever it has held the event loop for long enough."""
        began_s = time.perf_counter()
        for text in texts:
            for window in _windows(text, self._overlap):
                self._look(window, found)
                if found.provider is not None:
                    return
                if time.perf_counter() - began_s > _SLICE_S:
                    yield
                    began_s = time.perf_counter()

    def _look(self, window: bytes, found: _Search) -> None:
        found.provider = self._own(window)
        for kind, form in _FORMATS.items():
            if kind not in found.kinds and _has_key(form, window):
                found.kinds.add(kind)

    def _own(self, text: bytes) -> str | None:
        """The provider of a key in the text."""
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


def known_kinds(text: bytes) -> list[str]:
    """Whose keys there seem to be in it."""
    return sorted(kind for kind, form in _FORMATS.items() if _has_key(form, text))


def _has_key(form: _Form, text: bytes) -> bool:
    return any(mark in text for mark in form.marks) and form.pattern.search(text) is not None


def _windows(text: bytes, overlap: int) -> Iterator[bytes]:
    """The text in pieces, each with the last `overlap` bytes of those before it; where one has escapes, decoded as well."""
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
    """A place that no escape lies across, given that `start` is one."""
    end = start + _PIECE_BYTES
    if end >= len(text):
        return len(text)
    last = text.rfind(b"\\", max(start, end - _ESCAPE_BYTES + 1), end)
    if last < 0:
        return end
    run = text[start : last + 1]
    escapes = (len(run) - len(run.rstrip(b"\\"))) % 2 == 1  # of an even number each is escaped by the one before it
    return last if escapes else end


def _unescaped(text: bytes) -> bytes:
    """Escapes of other characters stay, and so does a backslash that is escaped itself with what follows it."""
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
    """As it is in text, and as it is in JSON."""
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
