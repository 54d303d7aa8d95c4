"""What providers publish of how they count: one usage of each shape, and what it has to be read as.

Numbers are made up, so that each sum can be done in the head: at 1 dollar a million in, 10 out, 0.1 cached and 1.25 written,
`micro_dollars` is what a call of it costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sidecar.spend.cost import TokenCounts as Counts


@dataclass(frozen=True, slots=True)
class Shape:
    """`usage` in the words of `provider`. `reported`: what it says it bills, in micro-dollars."""

    name: str
    provider: str
    usage: dict[str, Any]
    tokens: Counts
    micro_dollars: int
    reported: int | None = None


def openai(prompt: Any, completion: Any, total: Any = None, **members: Any) -> dict[str, Any]:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
    return {name: value for name, value in counts.items() if value is not None} | members


def thought(count: int, **members: int) -> dict[str, Any]:
    return {"completion_tokens_details": {"reasoning_tokens": count, **members}}


def cached(count: int, **members: int) -> dict[str, Any]:
    return {"prompt_tokens_details": {"cached_tokens": count, **members}}


PREDICTED = {"audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}
CLAUDE = {"input_tokens": 100, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 1000, "output_tokens": 100}
BY_AGE = {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 600}

# Where reasoning stands.
REASONING = (
    Shape("openai", "openai", openai(1000, 400, 1400, **thought(300, **PREDICTED)), Counts(1000, 400, 0, 0, 300), 5000),
    Shape("xai-apart", "xai", openai(1000, 100, 4100, **thought(3000)), Counts(1000, 3100, 0, 0, 3000), 32000),
    Shape("xai-contained", "xai", openai(1000, 3100, 4100, **thought(3000)), Counts(1000, 3100, 0, 0, 3000), 32000),
    Shape("xai-cut-in-thought", "xai", openai(1000, 0, 1060, **thought(60)), Counts(1000, 60, 0, 0, 60), 1600),
    Shape("cut-in-thought-no-total", "openai", openai(1000, 0, **thought(60)), Counts(1000, 60, 0, 0, 60), 1600),
    Shape("apart-no-total", "openai", openai(1000, 100, **thought(300)), Counts(1000, 400, 0, 0, 300), 5000),
    Shape("contained-no-total", "openai", openai(1000, 100, **thought(90)), Counts(1000, 100, 0, 0, 90), 2000),
    Shape("gemini-no-details", "gemini", openai(1000, 100, 4100), Counts(1000, 3100), 32000),
    Shape("gemini-no-completion", "gemini", {"prompt_tokens": 1000, "total_tokens": 1500}, Counts(1000, 500), 6000),
    Shape("more-than-the-total-says", "openai", openai(1000, 100, 1100, **thought(900)), Counts(1000, 100, 0, 0, 100), 2000),
    Shape("perplexity-beside", "perplexity", openai(30, 70, 100, reasoning_tokens=20), Counts(30, 70, 0, 0, 20), 730),
    Shape("groq", "groq", openai(100, 60, 160, queue_time=0.03, total_time=1.2, **thought(50)), Counts(100, 60, 0, 0, 50), 700),
    Shape("zai", "openai", openai(200, 70, 270, **cached(100), **thought(49)), Counts(200, 70, 100, 0, 49), 810),
    Shape("cohere-v2", "cohere", {"billed_units": {"input_tokens": 80, "output_tokens": 110}, "cached_tokens": 40,
          "tokens": {"input_tokens": 380, "output_tokens": 160, "reasoning_tokens": 50}}, Counts(380, 160, 40, 0, 50), 1144),
    Shape("cohere-pictures", "cohere", {"billed_units": {"input_tokens": 80, "image_tokens": 20, "output_tokens": 10},
          "tokens": {"input_tokens": 400, "output_tokens": 30}}, Counts(400, 30), 200),
    Shape("cohere-nothing-billed", "cohere", {"billed_units": {}, "tokens": {"input_tokens": 400, "output_tokens": 30}},
          Counts(400, 30), 700),
)  # fmt: skip

# Where the cache stands, and how long it is kept.
CACHE = (
    Shape("azure", "openai", openai(500, 90, 590, **cached(300, audio_tokens=0)), Counts(500, 90, 300), 1130),
    Shape("fireworks", "fireworks", openai(500, 90, 590, **cached(300)), Counts(500, 90, 300), 1130),
    Shape("deepseek", "deepseek", openai(500, 90, 590, prompt_cache_hit_tokens=300, prompt_cache_miss_tokens=200),
          Counts(500, 90, 300), 1130),
    Shape("moonshot", "openai", openai(500, 90, 590, cached_tokens=300, **thought(22)), Counts(500, 90, 300, 0, 22), 1130),
    Shape("together", "together", openai(500, 90, 590, cached_tokens=300), Counts(500, 90, 300), 1130),
    Shape("mistral", "mistral", openai(500, 90, 590, num_cached_tokens=300), Counts(500, 90, 300), 1130),
    Shape("mistral-other", "mistral", openai(500, 90, 590, prompt_token_details={"cached_tokens": 300}),
          Counts(500, 90, 300), 1130),
    Shape("vllm", "vllm", openai(500, 90, 590, prompt_tokens_details=None), Counts(500, 90), 1400),
    Shape("responses-words", "openai", {"input_tokens": 500, "output_tokens": 90, "total_tokens": 590,
          "input_tokens_details": {"cached_tokens": 300}, "output_tokens_details": {"reasoning_tokens": 40}},
          Counts(500, 90, 300, 0, 40), 1130),
    Shape("bedrock-contained", "openai", openai(500, 90, 590, cache_read_input_tokens=300, cache_creation_input_tokens=100),
          Counts(500, 90, 300, 100), 1155),
    Shape("databricks-beside", "databricks", openai(100, 90, 590, cache_read_input_tokens=300, cache_creation_input_tokens=100),
          Counts(500, 90, 300, 100), 1155),
    Shape("openai-written", "openai", openai(4020, 10, 4030, **cached(0, cache_write_tokens=4000)),
          Counts(4020, 10, 0, 4000), 5120),
    Shape("litellm-hour", "openai", openai(1100, 100, 1200, **cached(0, cache_creation_tokens=1000), cache_creation=BY_AGE),
          Counts(1100, 100, 0, 1000, 0, 600), 2800),
    Shape("anthropic", "anthropic", CLAUDE, Counts(1100, 100, 0, 1000), 2350),
    Shape("anthropic-hour", "anthropic", {**CLAUDE, "cache_creation": {"ephemeral_1h_input_tokens": 1000}},
          Counts(1100, 100, 0, 1000, 0, 1000), 3100),
    Shape("anthropic-both", "anthropic", {**CLAUDE, "cache_creation": BY_AGE, "output_tokens_details": {"thinking_tokens": 60}},
          Counts(1100, 100, 0, 1000, 60, 600), 2800),
    Shape("anthropic-read", "anthropic", {**CLAUDE, "cache_read_input_tokens": 500, "cache_creation_input_tokens": 0},
          Counts(600, 100, 500), 1150),
)  # fmt: skip

# What a provider says it bills. Each costs 2,000 micro-dollars by our own price.
DETAILS = {"upstream_inference_cost": 0.0025}
COSTS = (
    Shape("openrouter", "openrouter", openai(1000, 100, 1100, cost=0.000764, is_byok=False, cost_details=DETAILS),
          Counts(1000, 100), 2000, 764),
    Shape("openrouter-byok", "openrouter", openai(1000, 100, 1100, cost=0.0001, is_byok=True, cost_details=DETAILS),
          Counts(1000, 100), 2000, 2600),
    Shape("openrouter-free", "openrouter", openai(1000, 100, 1100, cost=0), Counts(1000, 100), 2000, 0),
    Shape("vercel", "openai", openai(1000, 100, 1100, cost=0.000764, market_cost=0.001), Counts(1000, 100), 2000, 764),
    Shape("as-text", "openai", openai(1000, 100, 1100, cost="0.000764"), Counts(1000, 100), 2000, 764),
    Shape("perplexity", "perplexity", openai(1000, 100, 1100, cost={"request_cost": 0.006, "total_cost": 0.00619}),
          Counts(1000, 100), 2000, 6190),
    Shape("xai-ticks", "xai", openai(1000, 100, 1100, cost_in_usd_ticks=37756000), Counts(1000, 100), 2000, 3776),
    Shape("a-part-of-one", "openai", openai(1000, 100, 1100, cost=1.4e-07), Counts(1000, 100), 2000, 1),
    Shape("float-noise", "openai", openai(1000, 100, 1100, cost=0.1 + 0.2), Counts(1000, 100), 2000, 300_000),
)  # fmt: skip

# What no provider should say, and some have.
STRANGE = (
    Shape("whole-floats", "openai", openai(1000.0, 100.0, 4100.0), Counts(1000, 3100), 32000),
    Shape("texts", "openai", openai("1000", "100", "4100"), Counts(1000, 3100), 32000),
    Shape("total-null", "openai", {**openai(1000, 100), "total_tokens": None}, Counts(1000, 100), 2000),
    Shape("total-zero", "openai", openai(1000, 100, 0), Counts(1000, 100), 2000),
    Shape("total-negative", "openai", openai(1000, 100, -5), Counts(1000, 100), 2000),
    Shape("total-huge", "openai", openai(1000, 100, 10**30), Counts(1000, 100), 2000),
    Shape("total-below-the-sum", "openai", openai(1000, 100, 1050), Counts(1000, 100), 2000),
    Shape("total-below-the-answer", "openai", openai(1000, 100, 50), Counts(1000, 50), 1500),
    Shape("total-alone", "openai", {"total_tokens": 500}, Counts(500), 500),
    Shape("prompt-zero", "openai", openai(0, 100, 400), Counts(0, 400), 4000),
    Shape("prompt-missing", "openai", openai(None, 100, 1100), Counts(1000, 100), 2000),
    Shape("cached-above-the-prompt", "openai", openai(100, 10, 110, **cached(160)), Counts(100, 10, 100), 110),
    Shape("details-that-are-none", "openai", openai(1000, 100, 1100, completion_tokens_details=7), Counts(1000, 100), 2000),
    Shape("cost-negative", "openai", openai(1000, 100, 1100, cost=-1), Counts(1000, 100), 2000),
    Shape("cost-absurd", "openai", openai(1000, 100, 1100, cost=1e300), Counts(1000, 100), 2000),
    Shape("cost-in-euros", "openai", openai(1000, 100, 1100, cost={"currency": "EUR", "total_cost": 1}),
          Counts(1000, 100), 2000),
    Shape("anthropic-floats", "anthropic", {"input_tokens": 1000.0, "output_tokens": "100"}, Counts(1000, 100), 2000),
    Shape("anthropic-negative", "anthropic", {**CLAUDE, "cache_read_input_tokens": -1}, Counts(1100, 100, 0, 1000), 2350),
)  # fmt: skip

SHAPES = (*REASONING, *CACHE, *COSTS, *STRANGE)
