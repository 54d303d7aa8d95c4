"""Tables that become lists of cards on narrow screens, and the frame of a section."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.home.markup import Content, Html, element


def section(key: str, title: str, *content: Content, note: Content = None, wide: bool = False) -> Html:
    """A landmark with a heading. `key` is its anchor on the page."""
    return element(
        "section",
        element("h2", title, id=f"{key}-title"),
        element("p", note, class_="note") if note is not None else None,
        *content,
        id=key,
        aria_labelledby=f"{key}-title",
        class_="wide" if wide else None,
        tabindex="-1",
    )


def table(caption: str, titles: Sequence[str], rows: Sequence[Sequence[Content]], numbers: Sequence[int] = ()) -> Html:
    """The first cell of a row is its heading. `numbers` are right-aligned columns."""
    head = element(
        "tr", *(element("th", title, scope="col", class_=_class(at, numbers)) for at, title in enumerate(titles))
    )
    body = [element("tr", *_cells(row, titles, numbers)) for row in rows]
    return element(
        "div",
        element("table", element("caption", caption), element("thead", head), element("tbody", *body)),
        class_="scroll",
    )


def _cells(row: Sequence[Content], titles: Sequence[str], numbers: Sequence[int]) -> list[Html]:
    first = element("th", row[0], scope="row")
    rest = [
        element("td", cell, data_label=titles[at], class_=_class(at, numbers)) for at, cell in enumerate(row) if at > 0
    ]
    return [first, *rest]


def _class(at: int, numbers: Sequence[int]) -> str | None:
    return "number" if at in numbers else None


def state(words: Content, kind: str) -> Html:
    """`kind` is good, warn or bad; the words say the same without colours."""
    return element("span", element("span", class_="dot", aria_hidden="true"), words, class_=f"state {kind}")
