"""What every program here shares: the prompts, the tool, and how results are printed. It runs in other environments, next to the
client that it tries; nothing of the gateway is importable there.

    python openai_python.py gpt=embeddings claude=      route=route of embeddings, or nothing
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

PROMPT = "What is the capital of France?"
WEATHER = "What is the weather in Paris?"
ABOUT_PARIS = "Tell me about Paris."
TEXTS = ["cats", "dogs"]
TEMPERATURE = "21 degrees"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "population": {"type": "integer"}},
    "required": ["city", "population"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
# How a caller turns thinking on, in the words of each provider.
_THINKING: dict[str, dict[str, Any]] = {
    "gpt": {"reasoning_effort": "low"},
    "claude": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
}
_ROUNDED_TO = 6
# One loop for all checks: the connections of some clients belong to the loop of their first call.
_LOOP = asyncio.Runner()
_ERROR_CHARS_MAX = 600


@dataclass(frozen=True)
class Route:
    """A route of the gateway, with one for embeddings ("" if its provider has none), and members of a body that make its model
    think."""

    name: str
    embeddings: str

    @property
    def tokens_max(self) -> int:
        """The embedded model never comes to an end; the others think for 1,024 tokens before they answer."""
        return 128 if self.name == "local" else 2048

    @property
    def thinking(self) -> dict[str, Any]:
        return _THINKING.get(self.name, {})


Check = Callable[[Route], Any]


def get_weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: The city's name.
    """
    if city != "Paris":
        raise ValueError(f"the model was to ask for Paris and asked for {city!r}")
    return TEMPERATURE


def rounded(vectors: Any) -> list[list[float]]:
    """Vectors as JSON has them, without the noise of 32 bits."""
    return [[round(float(number), _ROUNDED_TO) for number in vector] for vector in vectors]


def base_url() -> str:
    return os.environ["SIDECAR_URL"] + "/v1"


def run(*checks: Check) -> None:
    """Runs the checks for each route of the command line and prints {"route": {"check": result}} as the last line."""
    found: dict[str, dict[str, Any]] = {}
    for argument in sys.argv[1:]:
        name, _, embeddings = argument.partition("=")
        route = Route(name, embeddings)
        without = {"embeddings": not route.embeddings, "thinking": not route.thinking}
        wanted = [check for check in checks if not without.get(check.__name__)]
        found[name] = {check.__name__: _result(check, route) for check in wanted}
    sys.stdout.flush()
    print("\n" + json.dumps(found, default=str), flush=True)
    os._exit(0)  # threads of telemetry and of pools hold some clients up for seconds


def _result(check: Callable[[Any], Any], route: Any) -> Any:
    try:
        result = check(route)
        return _LOOP.run(_awaited(result)) if inspect.isawaitable(result) else result
    except Exception as error:  # noqa: BLE001 - what a client throws is a result
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"[:_ERROR_CHARS_MAX]}


def each(**forms: Callable[[], Any]) -> dict[str, Any]:
    """Several forms of one check, each with its own result."""
    return {name: _result(lambda _, form=form: form(), None) for name, form in forms.items()}


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result
