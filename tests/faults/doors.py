"""How callers of each REST door ask, and what they read of an answer: by the shapes that the formats' own documents have, and by
the ends that their programs look for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

PROMPT = "one two three four five"
ANSWER = f"echo: {PROMPT}"
JSON, EVENTS = "application/json", "text/event-stream"
_OF_OPENAIS_ERROR = {"message", "type", "param", "code"}
Body = dict[str, Any]


@dataclass(slots=True)
class Seen:
    """What the caller got: a code and a kind, None where all was well."""

    code: str | int
    kind: str | None = None
    type: str | None = None  # the format's word for the kind of error; REST only
    media: str | None = None  # of the body; REST only
    in_band: bool = False
    upstream: str | None = None
    words: str = ""  # the model's words
    text: str = ""  # all of it, to look for secrets
    should_retry: bool | None = None
    wrong: list[str] = field(default_factory=list)  # with the shape of the body


@dataclass(frozen=True, slots=True)
class Door:
    """`whole` gives the words of an answer, `events` reads a stream's, `error` an error's body; both write into what was seen."""

    path: str
    rpc: str
    members: Mapping[str, Any]
    whole: Callable[[Body], str]
    events: Callable[[Seen, list[str]], None]
    error: Callable[[Seen, Body], None]

    def body(self, route: str, streamed: bool) -> Body:
        return {"model": route, "stream": streamed, **self.members}

    def read(self, status: int, headers: Mapping[str, str], text: str) -> Seen:
        media = headers.get("content-type", "").partition(";")[0]
        seen = Seen(status, media=media, upstream=headers.get("x-sidecar-upstream"), text=text + str(headers))
        seen.should_retry = headers.get("x-should-retry") != "false"
        if media == EVENTS:
            lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            self.events(seen, [line[6:] for line in lines if line[:6] == "data: "])
        elif status == 200:
            seen.words = self.whole(json.loads(text))
        else:
            self.error(seen, json.loads(text))
        return seen


def _openais_error(seen: Seen, body: Body) -> None:
    error = body.get("error")
    if not isinstance(error, dict) or error.keys() != _OF_OPENAIS_ERROR or not error["message"]:
        seen.wrong.append(f"an error of the shape {str(body)[:200]}")
        return
    seen.kind, seen.type = error["code"], error["type"]


def _chat_events(seen: Seen, events: list[str]) -> None:
    ended = "[DONE]" in events
    for event in map(json.loads, events[: events.index("[DONE]")] if ended else events):
        if "error" in event:
            seen.in_band = True
            _openais_error(seen, event)
        else:
            seen.words += "".join(choice["delta"].get("content") or "" for choice in event["choices"])
    if seen.in_band == ended:
        seen.wrong.append("its end is neither an error nor [DONE]" if not ended else "[DONE] beside an error")


def _anthropics_error(seen: Seen, body: Body) -> None:
    error = body.get("error")
    if body.get("type") != "error" or not body.get("request_id") or not isinstance(error, dict):
        seen.wrong.append(f"an error of the shape {str(body)[:200]}")
        return
    if not error.keys() <= {"type", "message", "details"} or not error["message"]:
        seen.wrong.append(f"an error with the members {sorted(error)}")
    seen.type = error["type"]
    seen.kind = error.get("details", {}).get("error_code") or error["type"]


def _message_events(seen: Seen, events: list[str]) -> None:
    types = []
    for event in map(json.loads, events):
        types.append(event["type"])
        if event["type"] == "error":
            seen.in_band = True
            _anthropics_error(seen, event)
        elif event["type"] == "content_block_delta":
            seen.words += event["delta"].get("text", "")
    if "message_stop" in types and seen.in_band:
        seen.wrong.append("message_stop beside an error")
    if types[-1] not in ("message_stop", "error"):
        seen.wrong.append(f"its end is {types[-1]}")


def _response_words(body: Body) -> str:
    return "".join(part["text"] for item in body["output"] for part in item.get("content") or ())


def _response_events(seen: Seen, events: list[str]) -> None:
    """Programs look at the terminal event, the SDKs at the ids and numbers too."""
    read = [json.loads(event) for event in events]
    types = [event["type"] for event in read]
    ends = [type_ for type_ in types if type_ in ("response.completed", "response.incomplete", "response.failed")]
    seen.words = "".join(event["delta"] for event in read if event["type"] == "response.output_text.delta")
    if len(ends) != 1 or types[-1] != ends[0]:
        seen.wrong.append(f"its ends are {ends}, the last event {types[-1]}")
    if ends == ["response.failed"]:
        seen.in_band = True
        seen.kind = read[-1]["response"]["error"]["code"]
    heads = [event["response"] for event in read if "response" in event]
    if len({head["id"] for head in heads}) != 1 or types[0] != "response.created":
        seen.wrong.append(f"heads of {[head['id'] for head in heads]}, the first event {types[0]}")
    if [event["sequence_number"] for event in read] != list(range(len(read))):
        seen.wrong.append("numbers that do not count")


_MESSAGES = [{"role": "user", "content": PROMPT}]
DOORS: Mapping[str, Door] = MappingProxyType(
    {
        "chat": Door(
            "/v1/chat/completions", "ChatCompletions", {"messages": _MESSAGES},
            lambda body: str(body["choices"][0]["message"]["content"]), _chat_events, _openais_error,
        ),
        "messages": Door(
            "/v1/messages", "CreateMessage", {"messages": _MESSAGES, "max_tokens": 64},
            lambda body: "".join(block["text"] for block in body["content"]), _message_events, _anthropics_error,
        ),
        "responses": Door(
            "/v1/responses", "CreateResponse", {"input": _MESSAGES},
            _response_words, _response_events, _openais_error,
        ),
    }
)  # fmt: skip
