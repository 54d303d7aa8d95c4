"""Keys in what callers send: the gateway's own, which it refuses, and what looks like somebody's, which it logs.

A service that prints its environment into a prompt gives its keys to a provider, and to whoever reads that provider's logs.
Searched is the text as it came: the members of a JSON body, or a message as it would be serialised. What is found is never
shown: not in the answer, not in the log.

Cost, 10 keys, on a busy machine (2026): 20 µs for a prompt of 2 KB, 9 ms for 1 MB, nearly all of it for the formats.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import Final

from adapters import GatewayError, Kind
from sidecar.calls import Call
from sidecar.snapshot import Snapshot

log = logging.getLogger(__name__)

CODE: Final = "secret_in_prompt"
# Shorter ones ("test", "ollama") are words: they would refuse innocent prompts. A provider's own keys have 20 and more.
KEY_CHARS_MIN = 16
# Each costs 0.1 ms a MB by itself; beyond that they are looked up by the words of the text.
_APART_MAX = 64
# Where a word may begin inside a run of key characters: serialised text has its length in front, in 1 to 3 bytes.
_STARTS = 4

# What well-known keys look like, as their owners publish it for secret scanners. Enough of each to leave words and hashes alone.
_FORMATS: Final = {
    # https://platform.claude.com/docs (console keys)
    "anthropic": r"sk-ant-[A-Za-z0-9_-]{20,}",
    # https://platform.openai.com/api-keys: project, service account and admin keys; then the first form, and those who took
    # it over (DeepSeek, OpenRouter's sk-or-v1-). "risk-" and "task-" are words: at least 20 in one piece, with a digit.
    "openai": r"sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,}|sk-(?:or-v1-)?(?=[A-Za-z]{0,40}[0-9])[A-Za-z0-9]{20,}",
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html: long-term and temporary access key ids
    "aws": r"A[KS]IA[A-Z0-9]{16}",
    # https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github
    "github": r"gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22,}",
    # https://docs.gitlab.com/security/tokens/#token-prefixes
    "gitlab": r"glpat-[A-Za-z0-9_-]{20,}",
    # https://huggingface.co/docs/hub/security-tokens
    "huggingface": r"hf_[A-Za-z0-9]{30,}",
    # https://docs.cloud.google.com/docs/authentication/api-keys
    "google": r"AIza[A-Za-z0-9_-]{35}",
    # https://docs.slack.dev/authentication/tokens
    "slack": r"xox[abeoprs]-[A-Za-z0-9-]{10,}",
    # https://console.groq.com/keys
    "groq": r"gsk_[A-Za-z0-9]{40,}",
    # https://docs.x.ai
    "xai": r"xai-[A-Za-z0-9]{40,}",
    # https://docs.stripe.com/keys
    "stripe": r"sk_live_[A-Za-z0-9]{16,}",
    # RFC 7468, section 10 and those before it
    "private-key": r"-----BEGIN (?:[A-Z]{1,12} ){0,2}PRIVATE KEY-----",
}
_KNOWN = re.compile("|".join(f"(?P<{kind.replace('-', '_')}>{form})" for kind, form in _FORMATS.items()).encode())
# Where one may begin. Words only, which the engine finds by their first letters: ten times as fast as the forms themselves.
_BEGINNINGS = re.compile(rb"sk-|AKIA|ASIA|gh[pousr]_|github_pat_|glpat-|hf_|AIza|xox|gsk_|xai-|sk_live_|-----BEGIN")
# A JSON writer may escape any character, and some do it with "/" or "<". Only then is the text decoded, and only these.
_ESCAPED = re.compile(rb"\\(?:u00[2-7]|/)")
_ESCAPE = re.compile(rb"\\(?:u00([2-7][0-9A-Fa-f])|(/)|.)", re.DOTALL)
_RUN = re.compile(rb"[^\x00-\x20\"',:;=()<>{}\[\]\\]{%d,}" % KEY_CHARS_MIN)


class PromptSecrets:
    """The search of one snapshot; its keys are gathered once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._mode = snapshot.secrets_in_prompts
        self._keys: dict[bytes, str] = {}  # in a form that may stand in a text -> its provider
        self._words: dict[int, dict[bytes, str]] = {}  # by length, where there are too many to look for each
        if self._mode == "off":
            return
        found = {form: provider for key, provider in _keys(snapshot) for form in _forms(key)}
        if len(found) <= _APART_MAX:
            self._keys = found
        else:
            for form, provider in found.items():
                self._words.setdefault(len(form), {})[form] = provider

    def check(self, call: Call) -> None:
        """Raises invalid_request with the code secret_in_prompt where the call holds one of the gateway's own keys and those are
        refused. What is found is logged."""
        if self._mode == "off":
            return
        text = _text_of(call)
        if _ESCAPED.search(text):
            text = b"%b\0%b" % (text, _ESCAPE.sub(_unescaped, text))
        provider = self._own(text)
        if provider is not None:
            _log(call, f"the gateway's own key of {provider}", refused=self._mode == "refuse")
            if self._mode == "refuse":
                raise GatewayError(
                    Kind.INVALID_REQUEST,
                    "The request holds one of the gateway's own provider keys. It was not sent on.",
                    code=CODE,
                )
        elif kinds := known_kinds(text):
            _log(call, f"something like a key ({', '.join(kinds)})", refused=False)

    def _own(self, text: bytes) -> str | None:
        """The provider of a key that stands in the text."""
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
    found = (_KNOWN.match(text, beginning.start()) for beginning in _BEGINNINGS.finditer(text))
    return sorted({(key.lastgroup or "").replace("_", "-") for key in found if key is not None})


def _keys(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    for route in snapshot.routes.values():
        for upstream in route.upstreams:
            secrets = (upstream.key, upstream.grant.client_secret if upstream.grant is not None else None)
            for secret in secrets:
                if secret is not None and len(secret.reveal()) >= KEY_CHARS_MIN:
                    yield secret.reveal(), upstream.provider


def _forms(key: str) -> set[bytes]:
    """As it stands in text, and as it stands in JSON."""
    return {key.encode(), json.dumps(key, ensure_ascii=False)[1:-1].encode(), json.dumps(key)[1:-1].encode()}


def _text_of(call: Call) -> bytes:
    if call.envelope is None:
        return b"" if call.request is None else bytes(call.request.SerializeToString())
    members = call.envelope.members
    return b"\0".join([*members.values(), *(name.encode("utf-8", "replace") for name in members)])


def _unescaped(escape: re.Match[bytes]) -> bytes:
    """Escapes of other characters stay, and so does a backslash that is escaped itself with what follows it."""
    if escape[1] is not None:
        return bytes([int(escape[1], 16)])
    return escape[2] or escape[0]


def _log(call: Call, what: str, *, refused: bool) -> None:
    log.warning(
        "%s in a prompt%s: route %s, consumer %r, request %s",
        what,
        ", refused" if refused else "",
        call.route,
        call.consumer.name,
        call.request_id,
    )
