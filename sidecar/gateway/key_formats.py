"""What well-known keys look like: the patterns that their issuers publish for secret scanners."""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class KeyFormat(NamedTuple):
    """The pattern of one kind of key. A text without any of `marks` has no such key; searching for marks first is
    ten times as fast."""

    marks: tuple[bytes, ...]
    pattern: re.Pattern[bytes]


def _format(pattern: str, *marks: str) -> KeyFormat:
    return KeyFormat(tuple(mark.encode() for mark in marks), re.compile(pattern.encode()))


# Well-known key formats, as their issuers publish them for secret scanners. Each pattern is long enough not to match
# words and hashes, and no longer: an open end (`{20,}`) would read a run of keys to its end from each of them.
KEY_FORMATS: Final = {
    # https://platform.claude.com/docs (console keys)
    "anthropic": _format(r"sk-ant-[A-Za-z0-9_-]{20}", "sk-ant-"),
    # https://platform.openai.com/api-keys: project, service account and admin keys; then the original form,
    # also used by others (DeepSeek, OpenRouter's sk-or-v1-). To exclude "risk-" and "task-", it needs at
    # least 20 characters in one piece, with a digit.
    "openai": _format(
        r"sk-(?:(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20}|(?:or-v1-)?(?=[A-Za-z]{0,40}[0-9])[A-Za-z0-9]{20})", "sk-"
    ),
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html: long-term and temporary access key ids
    "aws": _format(r"A[KS]IA[A-Z0-9]{16}", "AKIA", "ASIA"),
    # https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github
    "github": _format(
        r"gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22}", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"
    ),
    # https://docs.gitlab.com/security/tokens/#token-prefixes
    "gitlab": _format(r"glpat-[A-Za-z0-9_-]{20}", "glpat-"),
    # https://huggingface.co/docs/hub/security-tokens
    "huggingface": _format(r"hf_[A-Za-z0-9]{30}", "hf_"),
    # https://docs.cloud.google.com/docs/authentication/api-keys
    "google": _format(r"AIza[A-Za-z0-9_-]{35}", "AIza"),
    # https://docs.slack.dev/authentication/tokens
    "slack": _format(r"xox[abeoprs]-[A-Za-z0-9-]{10}", "xox"),
    # https://console.groq.com/keys
    "groq": _format(r"gsk_[A-Za-z0-9]{40}", "gsk_"),
    # https://docs.x.ai
    "xai": _format(r"xai-[A-Za-z0-9]{40}", "xai-"),
    # https://docs.stripe.com/keys
    "stripe": _format(r"sk_live_[A-Za-z0-9]{16}", "sk_live_"),
    # RFC 7468, section 10 and earlier sections
    "private-key": _format(r"-----BEGIN (?:[A-Z]{1,12} ){0,2}PRIVATE KEY-----", "-----BEGIN"),
}
# All marks, found five times as fast as with `mark in text` for each of them: `re` looks for the first character with
# memchr, these first characters are rare, and lookbehinds check what precedes them.
ANY_MARK: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rb"k(?<=sk)(?:-|_live_|(?<=gsk)_)",
        rb"I(?:(?<=A[KS]I)A|(?<=AI)za)",
        rb"g(?:h[pousr]_|ithub_pat_|lpat-)",
        rb"f(?<=hf)_",
        rb"x(?:ox|ai-)",
        rb"-----BEGIN",
    )
)
# The longest pattern, rounded up: this much of a window is searched again together with the next one.
KEY_BYTES_MAX = 64
