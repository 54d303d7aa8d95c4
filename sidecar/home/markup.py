"""Builds HTML that cannot be broken out of: anything that is not built here is text, and text is escaped.

    element("p", "Route ", named(route.name), class_="note")

Attributes with a trailing underscore avoid Python's keywords.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

_VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "rect", "line"})
# Characters that are not allowed in documents, and lone surrogates, which UTF-8 cannot encode.
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


class Html(str):
    """Markup. Only this module creates it from anything but markup."""

    __slots__ = ()


Content = str | None | Iterable["Content"]


def text(value: str) -> Html:
    """Escapes text, for content and attributes in double quotes."""
    return Html(html.escape(_NO_TEXT.sub("\ufffd", value)))


def joined(*content: Content) -> Html:
    """Concatenates; None is nothing, a plain string is text."""
    pieces: list[str] = []
    for each in content:
        if isinstance(each, Html):
            pieces.append(each)
        elif isinstance(each, str):
            pieces.append(text(each))
        elif each is not None:
            pieces.append(joined(*each))
    return Html("".join(pieces))


def element(tag: str, *content: Content, **attributes: str | int | float | bool | None) -> Html:
    """`class_` is class, `aria_label` is aria-label. An attribute that is None or False is omitted, True has no
    value."""
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{text(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in _VOID:
        return Html(f"<{tag}{written}>") if tag not in ("rect", "line") else Html(f"<{tag}{written}/>")
    return Html(f"<{tag}{written}>{joined(*content)}</{tag}>")


def named(name: str) -> Html:
    """A name that somebody chose: its writing direction must not affect the text around it."""
    return element("bdi", name)
