"""Error texts are sentences, and a refusal of a parameter reads the same in every format."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters import FORMATS, Context, GatewayError, Kind, Provider, Target, Task
from sidecar.v1 import inference_pb2 as pb

ROOT = Path(__file__).parents[2] / "adapters"
CONTEXT = Context(now_s=0, new_id=lambda prefix: prefix + "1")
USER = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="x")])
TOOL = pb.Tool(function=pb.FunctionTool(name="f"))
# What a format has no place for, and what drop_params lists to leave it out.
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("anthropic", {"n": 2}, "n"),
    ("cohere", {"n": 2}, "n"),
    ("cohere-v1", {"n": 2}, "n"),
    ("mlflow", {"tools": [TOOL]}, "tools"),
    ("huggingface", {"n": 2}, "n"),
]


def literals(source: str) -> Iterator[tuple[str, str]]:
    """The first and the last words of each text that is written where a GatewayError is made."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "GatewayError"):
            continue
        match node.args[1:2]:
            case [ast.Constant(value=str(text))]:
                yield text, text
            case [ast.JoinedStr(values=[*parts])]:
                first, last = parts[0], parts[-1]
                yield (
                    str(first.value) if isinstance(first, ast.Constant) else "",
                    str(last.value) if isinstance(last, ast.Constant) else "",
                )


def not_sentences(source: str) -> list[tuple[str, str]]:
    return [(first, last) for first, last in literals(source) if not re.match("['A-Z]", first) or last[-1:] != "."]


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_an_error_text_is_a_sentence(path: Path) -> None:
    assert not_sentences(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("text", ['"no capital."', '"No full stop"', 'f"{name} is first."', 'f"The name is {name}"'])
def test_a_planted_fragment_is_found(text: str) -> None:
    assert len(not_sentences(f"raise GatewayError(Kind.INTERNAL, {text})")) == 1


def encoded(name: str, fields: dict[str, Any], **options: Any) -> Any:
    format_ = FORMATS[name]
    provider = Provider(name=name, format=name, base_url="http://h")
    target = Target(provider=provider, base_url="http://h", model="m", options=options)
    request = pb.ChatRequest(messages=[USER], **fields)
    return format_.provider[Task.CHAT].encode(request, target, False, CONTEXT)


@pytest.mark.parametrize(("name", "fields", "param"), REFUSED)
def test_a_refusal_names_provider_parameter_and_the_setting_that_leaves_it_out(
    name: str, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(GatewayError) as refused:
        encoded(name, fields)
    error = refused.value
    assert (error.kind, error.param) == (Kind.UNSUPPORTED_PARAMETER, param)
    assert error.message.startswith(f"Provider '{name}' does not support '{param}'")
    assert error.message.endswith(f"list '{param}' in the route's drop_params.")
    encoded(name, fields, drop_params=[param])
