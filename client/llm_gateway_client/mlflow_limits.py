"""Rate limits in MLflow's format: {"calls": 10, "renewal_period": "minute", "key": "user" | "route"}. Only for
requests."""

from __future__ import annotations

from typing import Any

from llm_gateway_client.periods import seconds_of, text_of
from llm_gateway_client.values import Json, RateLimit


def write_limit(limit: RateLimit) -> dict[str, Any]:
    """Raises ValueError for a limit that this format cannot express."""
    if limit.unit != "requests" or limit.per_seconds < 1:
        raise ValueError(
            "REST sets limits on requests in a time alone. Use a gRPC target for tokens and concurrent calls."
        )
    return {
        "calls": limit.count,
        "key": "user" if limit.each_consumer else "route",
        "renewal_period": text_of(limit.per_seconds),
    }


def read_limit(row: Json) -> RateLimit:
    """Raises ValueError for an invalid limit."""
    calls, period = row.get("calls"), row.get("renewal_period")
    if type(calls) is not int or not isinstance(period, str):
        raise ValueError("A limit has whole calls and a renewal_period such as 'minute' or '10 minutes'.")
    return RateLimit("requests", calls, seconds_of(period), row.get("key") == "user")
