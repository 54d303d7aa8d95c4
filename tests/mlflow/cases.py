"""The configurations (configs/) and the requests that go to a released MLflow gateway and to ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_CONFIGS = Path(__file__).parent / "configs"


def config(name: str, base_url: str, root_url: str) -> str:
    """YAML of that name: one provider on loopback, base_url ends in /v1."""
    return (_CONFIGS / name).read_text().replace("BASE_URL", base_url).replace("ROOT_URL", root_url)


@dataclass(frozen=True, slots=True)
class Case:
    """One request. `body` None: GET, unless `method` says otherwise; bytes go as they are."""

    name: str
    path: str
    body: Any = None
    method: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def verb(self) -> str:
        return self.method or ("GET" if self.body is None else "POST")


def says(text: str = "hello", **members: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **members}


TURNS = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": "U1"},
    {"role": "assistant", "content": "A1"},
    {"role": "user", "content": "U2"},
]
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
PARTS = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": "http://127.0.0.1/i.png"}}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": True}}


def _queries(route: str, path: str, bodies: dict[str, Any]) -> Iterator[Case]:
    for what, body in bodies.items():
        yield Case(f"{route}: {what}", path.format(route), body)


def cases_2_8() -> list[Case]:
    """Dialect A."""
    lists = "/api/2.0/gateway/routes/"
    queries = "/gateway/{}/invocations"
    chat: dict[str, Any] = {
        "plain": says(),
        "a conversation": {"messages": TURNS},
        "warm": says(temperature=0.5),
        "hottest": says(temperature=1),
        "cold": says(temperature=0),
        "two candidates": says(candidate_count=2),
        "stop": says(stop=["x", "y"]),
        "max tokens": says(max_tokens=9),
        "unknown member": says(seed=1, made_up={"a": [1.0]}),
        "top_p": says(top_p=0.5),
        "nulls": says(stop=None, max_tokens=None),
        "a name in a message": {"messages": [{"role": "user", "content": "a", "name": "n"}]},
        "no messages": {},
        "empty messages": {"messages": []},
        "messages null": {"messages": None},
        "text messages": {"messages": "a"},
        "no role": {"messages": [{"content": "a"}]},
        "no content": {"messages": [{"role": "user"}]},
        "content null": {"messages": [{"role": "user", "content": None}]},
        "content parts": {"messages": [{"role": "user", "content": PARTS}]},
        "too hot": says(temperature=1.5),
        "too cold": says(temperature=-1),
        "temperature null": says(temperature=None),
        "temperature word": says(temperature="warm"),
        "temperature in a string": says(temperature="0.5"),
        "no candidates": says(candidate_count=0),
        "six candidates": says(candidate_count=6),
        "half a candidate": says(candidate_count=1.5),
        "stop word": says(stop="x"),
        "no stop": says(stop=[]),
        "stop number": says(stop=[1]),
        "no tokens": says(max_tokens=0),
        "several problems": {"temperature": 3, "candidate_count": 0},
        "a model": says(model="x"),
        "n": says(n=2),
        "stream": says(stream=True),
        "not json": b"{",
        "a list": b"[1]",
        "empty": b"",
        "a key twice": b'{"messages": [], "messages": []}',
        "provider 400": says("play:400"),
        "provider 401": says("play:401"),
        "provider 404": says("play:404"),
        "provider 429": says("play:429"),
        "provider 500": says("play:500"),
        "other json": says("play:other-json"),
        "plain text 400": says("play:text-400"),
        "html": says("play:html"),
        "not of the format": says("play:not-of-the-format"),
        "null content": says("play:null-content"),
        "content filter": says("play:content-filter"),
        "tool calls": says("play:tool-calls"),
    }
    text: dict[str, Any] = {
        "plain": {"prompt": "go on"},
        "parameters": {"prompt": "go on", "temperature": 0.3, "max_tokens": 5, "stop": ["x"]},
        "two candidates": {"prompt": "go on", "candidate_count": 2},
        "no prompt": {},
        "two prompts": {"prompt": ["a", "b"]},
        "n": {"prompt": "a", "n": 2},
        "a model": {"prompt": "a", "model": "x"},
    }
    vectors: dict[str, Any] = {
        "one": {"text": "a"},
        "two": {"text": ["a", "b"]},
        "none": {"text": []},
        "a number": {"text": 1},
        "no text": {},
        "a model": {"text": "a", "model": "x"},
        "unknown member": {"text": "a", "user": "u"},
    }
    return [
        Case("health", "/health"),
        Case("list", lists),
        Case("get", lists + "chat"),
        Case("get: no such route", lists + "nope"),
        Case("list: bad token", f"{lists}?page_token=x"),
        Case("list: behind the end", f"{lists}?page_token=eyJpbmRleCI6IDMwMDB9"),
        Case("post on get", lists + "chat", {}),
        Case("get on post", "/gateway/chat/invocations"),
        Case("no such path", "/nope"),
        Case("query: no such route", "/gateway/nope/invocations", says()),
        Case("get limits", "/api/2.0/gateway/limits/chat"),
        Case("text/plain", "/gateway/chat/invocations", b"{}", headers={"content-type": "text/plain"}),
        *_queries("chat", queries, chat),
        *_queries("completions", queries, text),
        *_queries("embeddings", queries, vectors),
        *_queries("down", queries, {"plain": says()}),
        *_queries("azure", queries, {"plain": says(), "warm": says(temperature=0.5)}),
        *_queries("azuread", queries, {"plain": says()}),
        *_queries(
            "mosaic",
            queries,
            {"plain": {"prompt": "a"}, "parameters": {"prompt": "a", "temperature": 0.5, "max_tokens": 7}},
        ),
        *_queries("mosaic-chat", queries, {"plain": says(), "a conversation": {"messages": TURNS}}),
        *_queries("mosaic-embed", queries, {"one": {"text": "a"}}),
        *_queries(
            "served",
            queries,
            {
                "plain": {"prompt": "a"},
                "parameters": {"prompt": "a", "temperature": 0.5, "max_tokens": 7},
                "bad predictions": {"prompt": "play:bad-predictions"},
                "two": {"prompt": "play:two-predictions"},
            },
        ),
        *_queries("served-chat", queries, {"plain": says(), "a conversation": {"messages": TURNS}}),
        *_queries("served-embed", queries, {"one": {"text": "vector"}}),
        *_queries(
            "tgi", queries, {"plain": {"prompt": "a"}, "warm": {"prompt": "a", "temperature": 0.5, "max_tokens": 7}}
        ),
    ]


def cases_3_17() -> list[Case]:
    """Dialect B."""
    lists, queries = "/api/2.0/endpoints/", "/endpoints/{}/invocations"
    chat: dict[str, Any] = {
        "plain": says(),
        "a conversation": {"messages": TURNS},
        "hottest": says(temperature=2),
        "two": says(n=2),
        "stop": says(stop=["x"]),
        "parameters": says(max_tokens=9, top_p=0.5, presence_penalty=1, frequency_penalty=-1),
        "tools": says(tools=[TOOL], tool_choice="auto"),
        "parts": {"messages": [{"role": "user", "content": PARTS}]},
        "schema": says(response_format=SCHEMA),
        "unknown member": says(seed=1, odd=[1]),
        "no messages": {},
        "empty messages": {"messages": []},
        "too hot": says(temperature=3),
        "n of zero": says(n=0),
        "no stop": says(stop=[]),
        "stop word": says(stop="x"),
        "no tokens": says(max_tokens=0),
        "a model": says(model="x"),
        "not json": b"{",
        "top_p of 2": says(top_p=2),
        "provider 400": says("play:400"),
        "provider 401": says("play:401"),
        "provider 429": says("play:429"),
        "provider 500": says("play:500"),
        "tool calls": says("play:tool-calls"),
        "content filter": says("play:content-filter"),
        "stream": says(stream=True),
        "stream with usage": says(stream=True, stream_options={"include_usage": True}),
        "failed stream": says("play:401", stream=True),
    }
    return [
        Case("health", "/health"),
        Case("list", lists),
        Case("get", lists + "chat"),
        Case("get: a limit", lists + "limited"),
        Case("get: no such endpoint", lists + "nope"),
        Case("get in 3.0", "/api/3.0/gateway/endpoint/chat"),
        Case("old list", "/api/2.0/gateway/routes/"),
        Case("old get", "/api/2.0/gateway/routes/chat"),
        Case("traffic route", "/api/3.0/gateway/route/split"),
        Case("traffic route: an endpoint", "/api/3.0/gateway/route/chat"),
        *_queries("chat", queries, chat),
        *_queries("chat", "/gateway/{}/invocations", {"by the old path": says()}),
        *_queries("split", queries, {"plain": says()}),
        *_queries("nope", queries, {"plain": says()}),
        *_queries("completions", queries, {"plain": {"prompt": "a"}, "no prompt": {}, "two": {"prompt": "a", "n": 2}}),
        *_queries(
            "embeddings",
            queries,
            {"one": {"input": "a"}, "two": {"input": ["a", "b"]}, "tokens": {"input": [1, 2]}, "none": {}},
        ),
        *_queries("served", queries, {"plain": {"prompt": "a", "temperature": 0.5}}),
        Case("v1 chat", "/v1/chat/completions", says(model="chat")),
        Case("v1 embeddings", "/v1/embeddings", {"model": "embeddings", "input": "a"}),
        Case("v1: another type", "/v1/chat/completions", says(model="embeddings")),
        Case("v1: no model", "/v1/chat/completions", says()),
        Case("v1: no such model", "/v1/chat/completions", says(model="nope")),
    ]
