"""Texts that are as hard for a regular expression as can be made from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from re import _constants as names  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

# Enough for the longest of the code base: an alternative that is left out would not be tried.
_BEGINNINGS_MAX = 160
_LETTERS_MAX = 12
_WORDS_MAX = 40
_JOINTS_MAX = 6


def alternatives(pattern: re.Pattern[Any]) -> list[re.Pattern[Any]]:
    """What an expression chooses from, each by itself: all of it costs what they cost together, and each has few texts to try."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    parts, depth, in_class = [""], 0, False
    for token in re.findall(r"\\.|\[\^?\]?|.", source, re.DOTALL):
        if in_class:
            in_class = token != "]"
        elif token[0] == "[":
            in_class = True
        elif token == "|" and depth == 0:
            parts.append("")
            continue
        else:
            depth += (token == "(") - (token == ")")
        parts[-1] += token
    if len(parts) == 1 or pattern.flags & re.VERBOSE:
        return [pattern]
    whole = pattern.pattern
    return [re.compile(part if isinstance(whole, str) else part.encode("latin-1"), pattern.flags) for part in parts]


def hard_texts(pattern: re.Pattern[Any]) -> Iterator[tuple[str, str]]:
    """(how a text begins, what is repeated behind it): a letter behind everything that may come first, words by themselves."""
    tree = _parser.parse(pattern.pattern, pattern.flags)
    beginnings = list(dict.fromkeys(["", *_beginnings(tree, "")]))[:_BEGINNINGS_MAX]
    letters = list(dict.fromkeys(_letters(tree)))
    yield from product(beginnings, letters[:_LETTERS_MAX])
    words = sorted((each for each in beginnings if len(each) > 1), key=len)
    joints = [letter for letter in letters if not letter.isalnum()][:_JOINTS_MAX]
    for word in words[:_WORDS_MAX]:
        yield from (("", word + joint) for joint in ("", *joints))


def _beginnings(tree: Any, begun: str) -> Iterator[str]:
    """Samples of the expression, cut after each of its parts; of alternatives each."""
    for op, argument in tree:
        if op is names.BRANCH:
            for branch in argument[1]:
                yield from _beginnings(branch, begun)
        elif op is names.SUBPATTERN:
            yield from _beginnings(argument[-1], begun)
        samples = [each for each in dict.fromkeys(_samples(op, argument)) if each]
        yield from (begun + each for each in samples[:3])
        if samples:
            begun += samples[0]


def _samples(op: Any, argument: Any) -> Iterator[str]:
    if op in (names.MAX_REPEAT, names.MIN_REPEAT, names.POSSESSIVE_REPEAT):
        least, most, inner = argument
        times = min(max(least, 1), 64)
        for each in list(_whole(inner))[:4]:
            yield each * times
            if least == 0:
                yield ""
            elif most > times:
                yield each * (times + 1)
    elif op is names.SUBPATTERN:
        yield from _whole(argument[-1])
    elif op is names.ATOMIC_GROUP:
        yield from _whole(argument)
    elif op is names.BRANCH:
        for branch in argument[1]:
            yield from _whole(branch)
    else:
        yield from (each for each in _letters([(op, argument)]))


def _whole(tree: Any) -> Iterator[str]:
    done = [""]
    for op, argument in tree:
        more = list(dict.fromkeys(_samples(op, argument)))[:4]
        if more:
            done = [begun + each for begun in done[:3] for each in more]
    yield from done[:6]


def _letters(tree: Any) -> Iterator[str]:
    """One letter of each kind that is named anywhere in it."""
    for op, argument in tree:
        if op is names.LITERAL:
            yield chr(argument)
        elif op is names.NOT_LITERAL:
            yield "a" if argument != ord("a") else "b"
        elif op is names.ANY:
            yield "a"
        elif op is names.IN:
            yield from _of_class(argument)
        elif op in (names.MAX_REPEAT, names.MIN_REPEAT, names.POSSESSIVE_REPEAT):
            yield from _letters(argument[2])
        elif op is names.SUBPATTERN:
            yield from _letters(argument[-1])
        elif op is names.BRANCH:
            for branch in argument[1]:
                yield from _letters(branch)


_CATEGORIES = {
    names.CATEGORY_DIGIT: "0",
    names.CATEGORY_SPACE: " ",
    names.CATEGORY_WORD: "a",
    names.CATEGORY_NOT_DIGIT: "a",
    names.CATEGORY_NOT_SPACE: "a",
    names.CATEGORY_NOT_WORD: " ",
}


def _of_class(items: Any) -> Iterator[str]:
    if items[0][0] is names.NEGATE:
        kept = "".join(chr(argument) for op, argument in items[1:] if op is names.LITERAL)
        yield next(each for each in "a0-\\_Z" if each not in kept)
        return
    for op, argument in items:
        if op is names.LITERAL:
            yield chr(argument)
        elif op is names.RANGE:
            yield chr(argument[0])
        elif op is names.CATEGORY:
            yield _CATEGORIES[argument]
