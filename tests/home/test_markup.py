"""Nothing that somebody named can become markup, whatever it is called."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.gateway_status import (
    CertificateStatus,
    ConfigStatus,
    OperatorStatus,
    Spent,
    UpstreamFailure,
    WorkerStatus,
)
from sidecar.home import Allowed, HomeView, RouteView, UpstreamView, page
from sidecar.home.markup import element, joined, text

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</textarea></title></option><svg onload=alert(1)>",
    "javascript:alert(1)",
    "&lt;b&gt;&amp;",
    "@ROUTE@ «a|b|c» ${x} {y}",
    "\u202egnp.exe\u202c \x00\x1b[31m \ud800",
)
_PLAIN = "an ordinary name"


class _Shape(HTMLParser):
    """The elements and attribute names of a document, in their order, and its text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.elements.append((f"/{tag}", ()))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def _shape(document: str) -> _Shape:
    shape = _Shape()
    shape.feed(document)
    shape.close()
    return shape


def _view(name: str) -> HomeView:
    """Everything on the page that has a name of somebody's is called this."""
    upstream = UpstreamView(name, name, name, 1, UpstreamFailure(1.0, name, name))
    spent = (Spent(name, 3, 2, 1, 9),)
    return HomeView(
        consumer=name,
        user=f"{name}!",
        admin=True,
        version=name,
        known=True,
        workers=2,
        routes=tuple(RouteView(name, task, (upstream,) * 6, (name,)) for task in ("chat", "completions", "embeddings")),
        routes_more=1,
        allowed=(Allowed(name, name, 0.5, name, name),),
        today="2026-11-29",
        now_s=100.0,
        days=(Spent("2026-11-28", 3, 2, 1, 9),),
        by_route=spent,
        own_ca=True,
        operator=OperatorStatus(
            spent[:0],
            spent,
            (WorkerStatus(0, 1, 2.0, name),),
            1,
            ConfigStatus(name, 2, (name,), warnings=(name,)),
            (CertificateStatus(name, name, (name,), 3.0),),
        ),
        all_upstreams=((name, upstream),),
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_the_page_has_the_same_elements_whatever_things_are_called(name: str) -> None:
    plain, hostile = (_shape(page(_view(each)).decode()) for each in (_PLAIN, name))
    assert hostile.elements == plain.elements
    assert len(hostile.text) == len(plain.text)


def test_a_name_that_is_not_escaped_would_be_noticed() -> None:
    raw = page(_view("@@")).decode()
    assert _shape(raw.replace("@@", HOSTILE[0])).elements != _shape(raw).elements
    assert _shape(raw.replace("@@", HOSTILE[1])).elements != _shape(raw).elements


@given(st.text())
def test_text_is_text_in_content_and_in_attributes(value: str) -> None:
    found = element("a", value, title=value)
    shape = _shape(found)
    assert shape.elements == [("a", ("title",)), ("/a", ())]
    found.encode()  # there are no halves of surrogate pairs in it


def test_markup_is_taken_as_it_is_and_nothing_else() -> None:
    assert joined("<", element("b", "&"), None, [text("'"), ['"']]) == "&lt;<b>&amp;</b>&#x27;&quot;"
    assert element("input", disabled=True, hidden=False, aria_label="a") == '<input disabled aria-label="a">'
