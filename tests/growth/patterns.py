"""Every regular expression of the code base, and what the hardest texts cost it.

Found by reading the source: constants made by `re.compile` and the functions of `re`. The methods that are called on a constant
say how it is used: what is quadratic when it is searched for may be linear when it has to match from the start.
"""

from __future__ import annotations

import ast
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.growth.hard_texts import alternatives, hard_texts

ROOT = Path(__file__).parents[2]
_METHODS = frozenset({"match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"})
# Characters of the texts. They grow, so that a catastrophic expression is caught by a short one.
_STEPS = (16, 64, 512, 4096)
_TOO_MUCH_S = 0.05
_GIVE_UP_S = 0.5
# A character's cost at which no more is asked. From _TELLING on each costs hundreds of steps in a quadratic one.
_NOTHING_S = 80e-9
_TELLING = 512
# Of a linear one twice the text costs twice as much, of a quadratic one four times.
_DOUBLE_MAX = 2.9
_LOOKS = 3
# What looks too steep is measured again with larger texts: of thousands a busy machine makes some look so three times.
_TIMES = (2, 4)
_ENDS = ("", "\0")


@dataclass(frozen=True)
class Found:
    """One expression, where it stands, and how it is used."""

    place: str
    pattern: re.Pattern[Any]
    methods: tuple[str, ...]


def sources() -> list[Path]:
    return [
        path
        for package in ("adapters", "sidecar")
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.relative_to(ROOT).parts[:2] != ("sidecar", "v1")
    ]


def in_source(path: Path) -> tuple[list[Found], list[str]]:
    """The expressions of one file, and the places of those that are put together while it runs."""
    found: list[Found] = []
    unknown: list[str] = []
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    place = str(path.relative_to(ROOT))
    constants = _constants(path) if "re.compile" in text else {}
    methods = _methods_of(tree)
    for name, pattern in constants.items():
        found.append(Found(f"{place} {name}", pattern, tuple(methods.get(name, ())) or ("search", "fullmatch")))
    for call in ast.walk(tree):
        if not _is_of_re(call) or (call.func.attr == "compile" and _is_constant(tree, call)):  # type: ignore[attr-defined]
            continue
        assert isinstance(call, ast.Call)
        first = call.args[0]
        where = f"{place} {ast.unparse(first)}"
        if isinstance(first, ast.Constant):
            method = call.func.attr  # type: ignore[attr-defined]
            found.append(Found(where, re.compile(first.value), (method if method in _METHODS else "search",)))
        else:
            unknown.append(where)
    return found, unknown


def _is_of_re(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in {"compile", *_METHODS}
    )


def _is_constant(tree: ast.Module, call: ast.AST) -> bool:
    """Whether it stands in a statement of the module, not in a function: then the module has its value."""
    return any(
        call in ast.walk(statement) for statement in tree.body if isinstance(statement, ast.Assign | ast.AnnAssign)
    )


def _constants(path: Path) -> dict[str, re.Pattern[Any]]:
    module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    found: dict[str, re.Pattern[Any]] = {}
    for name, value in vars(module).items():
        for inner, pattern in _patterns_in(value):
            found[name + inner] = pattern
    return found


def _patterns_in(value: Any) -> Iterator[tuple[str, re.Pattern[Any]]]:
    """In a constant itself, or in the tuples and dictionaries that it is made of."""
    if isinstance(value, re.Pattern):
        yield "", value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from ((f"[{key!r}]{inner}", pattern) for inner, pattern in _patterns_in(each))
    elif isinstance(value, tuple | list):
        for index, each in enumerate(value):
            yield from ((f"[{index}]{inner}", pattern) for inner, pattern in _patterns_in(each))


def _methods_of(tree: ast.Module) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in _METHODS and isinstance(node.value, ast.Name):
            found.setdefault(node.value.id, set()).add(node.attr)
    return found


def hardest(found: Found) -> tuple[float, str]:
    """How many times as much a text of twice the length costs, at worst; and that text's start."""
    signal.signal(signal.SIGVTALRM, _give_up)
    worst = (0.0, "")
    for pattern in alternatives(found.pattern):
        for make in (_maker(pattern, *each, end) for each in hard_texts(pattern) for end in _ENDS):
            for method in found.methods:
                factor = _doubled(pattern, method, make)
                worst = max(worst, (factor, str(make(48))))
                if factor > _DOUBLE_MAX:
                    return worst
    return worst


def too_hard(found: Found) -> str | None:
    factor, text = hardest(found)
    return f"{found.place}: twice the text costs {factor:.1f} times as much: {text}" if factor > _DOUBLE_MAX else None


def _maker(pattern: re.Pattern[Any], beginning: str, unit: str, end: str) -> Callable[[int], Any]:
    def make(chars: int) -> Any:
        text = beginning + unit * (chars // len(unit) + 1) + end
        return text.encode("latin-1", "replace") if isinstance(pattern.pattern, bytes) else text

    return make


def _doubled(pattern: re.Pattern[Any], method: str, make: Callable[[int], Any]) -> float:
    """How many times as much twice the text costs, by the least costs of a few looks, for noise adds to them; what is quadratic
    stays so with larger texts. 0 where a text costs next to nothing."""
    for chars in _STEPS:
        now_s = _cost_s(pattern, method, make(chars))
        if now_s > _TOO_MUCH_S:
            return float("inf")  # whatever its growth: 12 µs a character are no search
        if chars >= _TELLING and now_s < chars * _NOTHING_S:
            return 0.0
    factor = 0.0
    for times in _TIMES:
        factor = _factor(pattern, method, make(times * _STEPS[-1]), make(2 * times * _STEPS[-1]))
        if factor <= _DOUBLE_MAX:
            break
    return factor


def _factor(pattern: re.Pattern[Any], method: str, text: Any, double: Any) -> float:
    text_s = double_s = float("inf")
    for _ in range(_LOOKS):
        text_s = min(text_s, _cost_s(pattern, method, text))
        look_s = _cost_s(pattern, method, double)
        if look_s == float("inf"):
            return look_s  # given up
        double_s = min(double_s, look_s)
        if double_s <= text_s * _DOUBLE_MAX:
            break
    return double_s / text_s


def _cost_s(pattern: re.Pattern[Any], method: str, text: Any) -> float:
    """CPU seconds; infinite for one that is given up, as it may take minutes: the engine looks for signals on its way."""
    arguments = [text[:0]] if method in ("sub", "subn") else []
    signal.setitimer(signal.ITIMER_VIRTUAL, _GIVE_UP_S)
    began_s = time.thread_time()
    try:
        made = getattr(pattern, method)(*arguments, text)
        if method == "finditer":
            for _ in made:
                pass
    except TimeoutError:
        return float("inf")  # not the limit: what a text costs that is cut short says nothing about its growth
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return max(time.thread_time() - began_s, 1e-7)


def _give_up(signal_number: int, frame: object) -> None:
    raise TimeoutError
