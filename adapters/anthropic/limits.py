"""The maximum output tokens per model, for requests without max_tokens, which the API requires.

Sources: Anthropic's "Models overview" (platform docs), and for the 4.6 to 4.8 models the correction in the release
notes of @effect/ai-anthropic 4.0.0-beta.106 (128,000 instead of 64,000). As of November 2026. A route overrides this
with the option `default_max_tokens`.
"""

from __future__ import annotations

# The first matching prefix applies, so longer ones come first.
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
    # For models newer than this table: the lowest maximum of any model since 2025, so the API does not refuse it.
    ("claude-", 32_000),
    # For other vendors' models behind this API: the lowest maximum of any model with this API.
    ("", 4_096),
)


def output_tokens_max(model: str) -> int:
    """Returns the tokens for a model's name, ignoring the region or vendor that some providers put before it."""
    start = model.find("claude-")
    name = model[start:] if start >= 0 else model
    return next(limit for prefix, limit in _OUTPUT_TOKENS_MAX if name.startswith(prefix))
