"""No regular expression costs more than in proportion to its text, whatever stands in it: a caller or a provider writes that."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.growth.patterns import Found, in_source, sources, too_hard

# Put together while it runs, so the source does not say what they are.
MADE_WHILE_RUNNING = {
    "sidecar/config/consumers.py translate(glob)": "fnmatch's own, which shares nothing out twice; names have 128 characters",
    "sidecar/gateway/consumers.py '|'.join(patterns)": "the same, for users and routes",
    "sidecar/front/bindings.py _pattern(binding.path, binding.long).replace('(?<', '(?P<')": "of our own paths",
    "sidecar/front/envoy/routes.py pattern": "when files are generated, of our own paths",
    "sidecar/domain/wildcard.py pattern": "the price table's, over a model's name, which has some hundred characters at most",
    "sidecar/gateway/key_formats.py pattern.encode()": "the constants in KEY_FORMATS, which are found as such",
}


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.stem)
def test_a_text_of_twice_the_length_costs_every_expression_about_twice_as_much(path: Path) -> None:
    found, unknown = in_source(path)
    assert [hard for each in found if (hard := too_hard(each)) is not None] == []
    assert set(unknown) <= MADE_WHILE_RUNNING.keys(), "say why this one cannot be hard"


def test_expressions_are_found_as_constants_in_tables_and_in_calls() -> None:
    found = {each.place: each for path in sources() for each in in_source(path)[0]}
    assert found["adapters/sse.py _EVENT_END"].methods == ("search",)
    assert "sidecar/gateway/key_formats.py KEY_FORMATS['anthropic'][1]" in found
    assert found["sidecar/upstream/credentials.py '[a-z_]{1,64}'"].methods == ("fullmatch",)
    assert {place for path in sources() for place in in_source(path)[1]} == MADE_WHILE_RUNNING.keys()


@pytest.mark.parametrize(
    ("planted", "method"),
    [
        (r"\s+$", "sub"),
        (r"(?:a+)+b", "match"),
        (r"<!--.*?-->", "finditer"),
        (r"[0-9]+\.?[0-9]*x", "fullmatch"),
        # What stood here once.
        (r"\beyJ[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]*){1,4}", "sub"),
        (r"(?!sk[_-])[._ ~-]*(?:[A-Za-z]{0,20}[0-9]{0,5}(?:[._ -]+|$)){0,12}", "fullmatch"),
    ],
)
def test_a_planted_expression_that_is_not_linear_is_found(planted: str, method: str) -> None:
    for pattern in (re.compile(planted), re.compile(planted.encode())):
        assert too_hard(Found("planted", pattern, (method,))) is not None


def test_each_alternative_of_a_long_choice_has_texts_of_its_own() -> None:
    words = "|".join(f"a phrase of a provider, number {number}" for number in range(60))
    assert too_hard(Found("planted", re.compile(words), ("search",))) is None
    assert too_hard(Found("planted", re.compile(rf"{words}|exceed\w* context"), ("search",))) is not None
