"""Wraps prose of Markdown at 100 characters. Code, tables, headings and comments are unchanged.

    python -m tools.wrapping README.md docs/concepts/limits.md

Files are changed in place.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

WIDTH = 100
_FENCE = re.compile(r" *(```|~~~)")
# A line that is never part of a paragraph: empty, table, heading, comment, image, indented code.
_APART = re.compile(r"$| *\||#|<|!\[|\[.*\]: | {4,}(?![-*] |\d+\. )")
_ITEM = re.compile(r" *(?:[-*] |\d+\. )")
# What must not be broken at a blank.
_WHOLE = re.compile(r"`[^`]+`")
_NO_BREAK = "\0"


def _blocks(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """Runs of lines, each with whether it is a paragraph (or one item of a list)."""
    paragraph: list[str] = []
    is_code = False
    for line in lines:
        fence = _FENCE.match(line) is not None
        in_item = bool(paragraph) and _ITEM.match(paragraph[0]) is not None and line.startswith(" ") and line.strip()
        apart = fence or is_code or (_APART.match(line) is not None and not in_item)
        if paragraph and (apart or _ITEM.match(line)):
            yield True, paragraph
            paragraph = []
        if fence:
            is_code = not is_code
        if apart:
            yield False, [line]
        else:
            paragraph.append(line)
    if paragraph:
        yield True, paragraph


def _filled(paragraph: list[str]) -> list[str]:
    found = _ITEM.match(paragraph[0])
    first = found[0] if found else re.match(" *", paragraph[0])[0]  # type: ignore[index]
    text = " ".join(line.strip() for line in paragraph)[len(first.lstrip()) :]
    text = _WHOLE.sub(lambda span: span[0].replace(" ", _NO_BREAK), text)
    filled = textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_NO_BREAK, " ") for line in filled]


def long_lines(markdown: str) -> list[str]:
    """Lines of prose that are too long and could be broken."""
    found = []
    for is_paragraph, lines in _blocks(markdown.split("\n")):
        if is_paragraph and any(len(line) > WIDTH for line in lines) and _filled(lines) != lines:
            found += [line for line in lines if len(line) > WIDTH]
    return found


def wrapped(markdown: str) -> str:
    """The wrapped text. A paragraph is only refilled if one of its lines is too long."""
    lines: list[str] = []
    for is_paragraph, block in _blocks(markdown.split("\n")):
        lines += _filled(block) if is_paragraph and any(len(line) > WIDTH for line in block) else block
    return "\n".join(lines)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        Path(name).write_text(wrapped(Path(name).read_text(encoding="utf-8")), encoding="utf-8")
