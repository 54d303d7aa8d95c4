"""The short way to read a usage says what the long way says, or nothing."""

from __future__ import annotations

import json
import random
from typing import Any

from adapters.openai.finish_and_usage import any_usage
from adapters.openai.plain_usage import plain_usage

CHANCE = random.Random(11)
COUNTS: list[Any] = [0, 1, 7, 25, 30, 55, 2**31 - 1, 2**31, -1, 12.0, "12", None, True, [], {}]
DETAILS = ["cached_tokens", "reasoning_tokens", "audio_tokens", "cache_write_tokens", "num_cached_tokens", "odd_tokens"]
NAMES = ["prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"]


def some_details() -> Any:
    if CHANCE.random() < 0.1:
        return CHANCE.choice([None, [], "x", {}])
    return {name: CHANCE.choice(COUNTS[:5]) for name in CHANCE.sample(DETAILS, CHANCE.randrange(4))}


def some_usage() -> dict[str, Any]:
    input_, output = CHANCE.choice(COUNTS[:6]), CHANCE.choice(COUNTS[:6])
    usage: dict[str, Any] = dict(zip(NAMES, (input_, output, input_ + output), strict=False))
    for name in NAMES[3:]:
        if CHANCE.random() < 0.6:
            usage[name] = some_details()
    if CHANCE.random() < 0.3:
        usage[CHANCE.choice(NAMES[:3])] = CHANCE.choice(COUNTS)
    if CHANCE.random() < 0.1:
        usage[CHANCE.choice(["cost", "input_tokens", "prompt_cache_hit_tokens", "odd"])] = CHANCE.choice(COUNTS)
    return usage


def test_what_the_short_way_reads_the_long_way_reads_alike() -> None:
    short = 0
    for _ in range(20_000):
        raw = json.dumps(some_usage()).encode()
        plain = plain_usage(raw)
        if plain is not None:
            short += 1
            assert plain == any_usage(raw), raw
    assert short > 2_000


def test_openais_own_usage_goes_the_short_way() -> None:
    raw = json.dumps(
        {
            "prompt_tokens": 19,
            "completion_tokens": 10,
            "total_tokens": 29,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }
    ).encode()
    assert plain_usage(raw) == any_usage(raw)
    assert plain_usage(raw) is not None


def test_what_is_no_usage_is_left_to_the_long_way() -> None:
    for raw in (b"null", b"[]", b"", b"{}", b'{"prompt_tokens":1', b'"x"', b"\xff"):
        assert plain_usage(raw) is None
