"""Dialect A's temperature, which is 0 to 1 for every provider, scaled to the upstream's range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.contract import Target
from adapters.copies import copied

# MLflow 2.8's factors: the upper end of the provider's range. OpenAI's format goes to 2.
_BY_FORMAT: Mapping[str, float] = {"openai": 2.0, "cohere": 5.0, "cohere-v1": 5.0}
# Use OpenAI's format, but go to 1 (Mistral advises no more), or do so according to MLflow.
_BY_PROVIDER: Mapping[str, float] = {"mistral": 1.0}


def factor(target: Target) -> float:
    return _BY_PROVIDER.get(target.provider.name) or _BY_FORMAT.get(target.provider.format, 1.0)


def fit(request: Any, target: Target) -> Any:
    """Returns the request with its temperature in the upstream's range. The original is not changed, since another
    upstream may be tried next. A missing temperature stays missing, although MLflow's servers send 0.0."""
    times = factor(target)
    if times == 1.0 or not request.HasField("temperature"):
        return request
    scaled = copied(request)
    scaled.temperature = request.temperature * times
    return scaled
