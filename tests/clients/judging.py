"""What a check must give, by route."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.clients.double import ANSWER, TEMPERATURE
from tests.provider.defaults import DIMENSIONS, vector

CITY = {"city": "Paris", "population": 2_100_000}
TEXTS = ("cats", "dogs")
# Six decimals of 32-bit numbers.
_NEAR = 2e-6
_LOCAL_DIMENSIONS = 576


def problem(route: str, check: str, result: Any) -> str | None:
    """None if the result is right, else what is wrong. A result may have several forms of one check, by name."""
    if isinstance(result, Mapping) and "error" in result:
        return str(result["error"])
    if check.startswith("test_"):  # of a suite that judges for itself
        return None if result in ("passed", "skipped") else f"{result}"
    if isinstance(result, Mapping) and "city" not in result:
        found = {name: problem(route, check, each) for name, each in result.items()}
        return next((f"{name}: {text}" for name, text in found.items() if text is not None), None)
    right = _right_locally(check, result) if route == "local" else _right(check, result)
    return None if right else f"gave {json.dumps(result)[:300]}"


def _right(check: str, result: Any) -> bool:
    match check:
        case "answer":
            return bool(result == ANSWER)
        case "stream":
            # Some command lines print what they stream as one text.
            return bool(result == ANSWER if isinstance(result, str) else "".join(result) == ANSWER and len(result) > 1)
        case "tools" | "thinking":
            return TEMPERATURE in str(result)
        case "structured":
            return bool(result == CITY)
        case _:
            wanted = [vector(json.dumps(text), DIMENSIONS) for text in TEXTS]
            return _near(result, wanted)


def _near(found: Any, wanted: list[list[float]]) -> bool:
    pairs = [pair for one, other in zip(found, wanted, strict=True) for pair in zip(one, other, strict=True)]
    return all(abs(one - other) < _NEAR for one, other in pairs)


def _right_locally(check: str, result: Any) -> bool:
    """The embedded model is too small for facts: what counts is the form."""
    match check:
        case "answer" | "tools":
            return isinstance(result, str) and result != ""
        case "stream":
            return len(result) > 1 and all(isinstance(piece, str) for piece in result)  # or one text
        case "structured":
            return isinstance(result.get("city"), str) and isinstance(result.get("population"), int)
        case _:
            return [len(row) for row in result] == [_LOCAL_DIMENSIONS] * len(TEXTS)
