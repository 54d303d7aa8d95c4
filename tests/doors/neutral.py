"""What is asked and answered, whatever the door."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SYSTEM = "Be short, please."
QUESTION = "What about Oslo?"
TOOL = "find"
PNG = "iVBORw0KGgo="
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["name", "people"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Call:
    id: str
    name: str
    arguments: Any


@dataclass(frozen=True, slots=True)
class Answer:
    """`counts` are tokens in and out; `native` is what goes back into the history as it came."""

    text: str
    thought: str
    calls: list[Call]
    finish: str
    counts: tuple[int, int] | None
    native: Any = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Ask:
    """`after`: an answer with calls that goes before this request, with the results of its calls."""

    route: str
    text: str = QUESTION
    stream: bool = False
    tools: bool = False
    thinks: bool = False
    image: bool = False
    schema: bool = False
    after: Answer | None = None
