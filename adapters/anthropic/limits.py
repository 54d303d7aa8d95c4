"""The most tokens a model can answer with, for requests that leave max_tokens out: the API requires it.

Sources: Anthropic's "Models overview" (maximum output, platform docs), and for the 4.6 to 4.8 models the correction in the
release notes of @effect/ai-anthropic 4.0.0-beta.106 (128,000 instead of 64,000). State of November 2026.
A route overrides this with the option `default_max_tokens`.
"""

from __future__ import annotations

# The first prefix that fits holds, so the longer ones stand first.
_OUTPUT_TOKENS_MAX: tuple[tuple[str, int], ...] = (
    ("claude-3-5-", 8_192),
    ("claude-3-7-", 64_000),
    ("claude-3-", 4_096),
    ("claude-opus-4-5", 64_000),
    ("claude-opus-4-6", 128_000),
    ("claude-opus-4-7", 128_000),
    ("claude-opus-4-8", 128_000),
    ("claude-opus-4", 32_000),  # 4.0 and 4.1
    ("claude-sonnet-4-6", 128_000),
    ("claude-sonnet-4", 64_000),  # 4.0 and 4.5
    ("claude-haiku-4", 64_000),
    # A model newer than this table: the least that any model since 2025 allows, so the API does not refuse it.
    ("claude-", 32_000),
    # Another maker's model behind the same API: the least that any model with this API ever allowed.
    ("", 4_096),
)


def output_tokens_max(model: str) -> int:
    """Tokens, by the model's name without the region or vendor that some providers put before it."""
    start = model.find("claude-")
    name = model[start:] if start >= 0 else model
    return next(limit for prefix, limit in _OUTPUT_TOKENS_MAX if name.startswith(prefix))
