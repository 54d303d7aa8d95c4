"""Dialect A's temperature, 0 to 1 for every provider, as the upstream's own range has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.contract import Target
from adapters.copies import copied

# MLflow 2.8's factors: the upper end of the provider's own range. OpenAI's format goes to 2.
_BY_FORMAT: Mapping[str, float] = {"openai": 2.0, "cohere": 5.0, "cohere-v1": 5.0}
# Speak OpenAI's format, and go to 1 (Mistral advises no more) or are said by MLflow to.
_BY_PROVIDER: Mapping[str, float] = {"mistral": 1.0}


def factor(target: Target) -> float:
    return _BY_PROVIDER.get(target.provider.name) or _BY_FORMAT.get(target.provider.format, 1.0)


def fit(request: Any, target: Target) -> Any:
    """The request with its temperature in the upstream's range. The request itself is left alone: another upstream may be asked
    next. A temperature that the caller did not give stays absent, though MLflow's servers send 0.0."""
    times = factor(target)
    if times == 1.0 or not request.HasField("temperature"):
        return request
    scaled = copied(request)
    scaled.temperature = request.temperature * times
    return scaled
