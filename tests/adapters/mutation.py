"""Recordings made wrong: cut, swapped, duplicated, a value of another type, a key deleted, a branch nested. By a seed, so that a
failure comes again."""

from __future__ import annotations

import json
import random
import re
from typing import Any

STRANGE: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1.5,
        2**31,
        2**63,
        2**70,
        -(2**63) - 1,
        1e308,
        "",
        "x",
        "5",
        "null",
        "\u2028",
        "\ud800",
    ),
    *([], {}, [[]], [None], [5], {"": None}, {"type": 5}, {"index": -1}, "data: [DONE]", "a" * 300),
)
# Python's own JSON writer goes no deeper than about a thousand.
DEPTHS = (1, 2, 100, 400)


def mutated_json(value: Any, dice: random.Random) -> bytes:
    """The value with one or two changes, as bytes; at times the bytes are cut or doubled too."""
    for _ in range(dice.choice((1, 1, 2))):
        value = changed(value, dice)
    body = _written(value, dice)
    return mutated_bytes(body, dice) if dice.random() < 0.1 else body


def _written(value: Any, dice: random.Random) -> bytes:
    """Escaped or not, both are JSON; half a surrogate is so only when it is escaped."""
    return json.dumps(value, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")


def mutated_bytes(data: bytes, dice: random.Random) -> bytes:
    at, to = sorted((dice.randint(0, len(data)), dice.randint(0, len(data))))
    match dice.randrange(6):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + data[to:]
        case 2:
            return data[:to] + data[at:]
        case 3:
            return data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
        case 4:
            return data[at:to] + data[:at] + data[to:]
        case _:
            return data[:at] + dice.randbytes(dice.randint(1, 8)) + data[at:]


def mutated_stream(stream: bytes, dice: random.Random) -> bytes:
    """Events swapped, doubled, lost, cut, or changed inside; whole events are told apart as SSE and as lines."""
    events = re.findall(rb"(?s).+?(?:\r?\n){2,}|.+$", stream) if b"\n\n" in stream else stream.splitlines(keepends=True)
    if not events:
        return stream
    for _ in range(dice.randint(1, 3)):
        at, other = dice.randrange(len(events)), dice.randrange(len(events))
        match dice.randrange(6):
            case 0:
                events[at], events[other] = events[other], events[at]
            case 1:
                events.insert(other, events[at])
            case 2 if len(events) > 1:
                del events[at]
            case 3:
                events[at] = mutated_bytes(events[at], dice)
            case _:
                events[at] = _changed_event(events[at], dice)
    joined = b"".join(events)
    return joined[: dice.randint(0, len(joined))] if dice.random() < 0.1 else joined


def _changed_event(event: bytes, dice: random.Random) -> bytes:
    found = re.search(rb"\{.*\}", event)
    try:
        value = json.loads(found[0]) if found else None
    except ValueError:
        return event
    return event if found is None else event[: found.start()] + mutated_json(value, dice) + event[found.end() :]


def changed(value: Any, dice: random.Random) -> Any:
    """A branch is picked by walking down at random; the change happens there."""
    if isinstance(value, dict | list) and value and dice.random() < 0.95:
        key = dice.choice(list(value)) if isinstance(value, dict) else dice.randrange(len(value))
        copy = dict(value) if isinstance(value, dict) else list(value)
        if dice.random() < 0.08:
            del copy[key]
        elif dice.random() < 0.06:
            _double(copy, key, dice)
        else:
            copy[key] = changed(copy[key], dice)
        return copy
    return _nested(value, dice) if dice.random() < 0.25 else dice.choice(STRANGE)


def _double(copy: Any, key: Any, dice: random.Random) -> None:
    if isinstance(copy, list):
        copy.insert(dice.randrange(len(copy)), copy[key])
    else:
        other = dice.choice(list(copy))
        copy[key], copy[other] = copy[other], copy[key]


def _nested(value: Any, dice: random.Random) -> Any:
    depth = dice.choice(DEPTHS)
    for _ in range(depth):
        value = [value] if dice.random() < 0.5 else {"a": value}
    return value
