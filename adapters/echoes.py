"""Echoes: parts of an earlier answer that a client sends back. They have no effect, so they never cause a refusal.
Each format declares which ones it supports; the rest is left out, and reported to the caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from adapters.call_ids import identified
from adapters.copies import copied
from adapters.echo_names import ECHOES, NESTED, OTHER, OTHER_IN_CALL, PARTS, TEXTS, Known
from adapters.fit import Fit
from adapters.json_object import MALFORMED, callers_object, object_text
from adapters.thoughts import CARRIERS, may_be_block, opened, read_block, read_carriers, rest_of_nested
from sidecar.v1 import inference_pb2 as pb


@dataclass(frozen=True, slots=True)
class Echoes:
    """How a format treats echoes.

    `takes`: whether a thought is sent back.
    `leaves`: names of ECHOES that are left out.
    `restores`: reasoning is read from the members in which clients keep it, and becomes parts of the message;
    otherwise those members are sent unchanged.
    """

    takes: Callable[[pb.Thinking], bool]
    leaves: frozenset[str] = ECHOES
    restores: bool = False
    # names of ECHOES that the route drops, whether or not the format supports them
    dropped: frozenset[str] = frozenset()
    # members that the provider accepts in addition to those with a typed field; it refuses all others
    knows: Known | None = None
    claudes: bool = False  # whether blocks of Anthropic's own tools are sent back


# Members of an answer that could not be read into the field of that name, or that a stream repeated.
_FIELDS = frozenset({"role", "name", "content", "tool_calls", "tool_call_id"})
# In drop_params: no thought of the history is sent back.
_THOUGHTS = PARTS | {"thinking"}
# For formats that only accept text.
NO_ECHOES = Echoes(takes=lambda thought: False)


def fit_history(request: pb.ChatRequest, echoes: Echoes, fit: Fit) -> pb.ChatRequest:
    """Returns the request, or a copy whose messages contain only what the format supports. `fit` receives the names
    of what was left out.

    A thought that several members contain counts once: it is only reported as left out if none of them was sent.
    Raises invalid_request for an extra_json that is not an object.
    """
    request = identified(request, unique=echoes.claudes)
    if fit.drop & _THOUGHTS or fit.drop & ECHOES:
        takes = _nothing if fit.drop & _THOUGHTS else echoes.takes
        echoes = replace(echoes, takes=takes, leaves=echoes.leaves | fit.drop, dropped=fit.drop)
    left_out: dict[str, None] = {}
    out = request
    for number, message in enumerate(request.messages):
        if _may_hold(message):
            if out is request:
                out = copied(request)
            _Fitting(out.messages[number], f"messages[{number}]", echoes, left_out).run()
    fit.leave_out_echoes(left_out)
    return out


_LOOKED_AT = ("thinking", "other_json")


def _nothing(thought: pb.Thinking) -> bool:
    return False


def _may_hold(message: pb.Message) -> bool:
    if any(part.WhichOneof("part") in _LOOKED_AT or part.extra_json for part in message.content):
        return True
    if message.role != pb.ROLE_ASSISTANT:
        return False
    return bool(message.extra_json) or any(call.extra_json or call.function_extra_json for call in message.tool_calls)


class _Fitting:
    """One message. `kept` are its content parts, `taken` the reasoning among them."""

    def __init__(self, message: pb.Message, at: str, echoes: Echoes, left_out: dict[str, None]) -> None:
        self._message = message
        self._echoes = echoes
        self._left_out = left_out
        self._assistant = message.role == pb.ROLE_ASSISTANT
        self._extra = callers_object(message.extra_json, f"{at}.extra_json") if message.extra_json else {}
        self._at = at
        self._kept: list[pb.ContentPart] = []
        self._taken: list[pb.Thinking] = []
        self._refused: list[tuple[str, pb.Thinking]] = []

    def run(self) -> None:
        self._sort_parts()
        if self._assistant:
            self._sort_members()
            self._strip_calls()
        self._say_refused()
        if list(self._message.content) != self._kept:
            kept = pb.Message(content=self._kept)  # copies, since the parts belong to the list that is cleared
            del self._message.content[:]
            self._message.content.extend(kept.content)

    def _sort_parts(self) -> None:
        for part in self._message.content:
            found = _thought_of(part)
            if found is None:
                self._keep(part)
                continue
            name, thought = found
            raw = part.WhichOneof("part") == "other_json"
            if raw and not self._echoes.restores:
                if name not in self._echoes.leaves:
                    self._kept.append(part)
                    self._taken.append(thought)
                    continue
            elif name not in self._echoes.dropped and self._echoes.takes(thought):
                self._taken.append(thought)
                self._kept.append(_part(thought) if raw else part)
                continue
            self._refused.append((name, thought))

    def _keep(self, part: pb.ContentPart) -> None:
        """A part other than a thought, without what only Anthropic's answers have: blocks of its own tools,
        citations."""
        if self._assistant and not self._echoes.claudes:
            if part.WhichOneof("part") == "other_json" and is_of_claudes_tools(part.other_json):
                self._left_out["messages[].content_blocks"] = None
                return
            if part.WhichOneof("part") == "text" and '"citations"' in part.extra_json:
                part = _copy(part)
                members = dict(opened(part.extra_json.encode("utf-8", "surrogatepass")))
                if members.pop("citations", None) is not None:
                    self._left_out["messages[].citations"] = None
                _set(part, "extra_json", members)
        self._kept.append(part)

    def _sort_members(self) -> None:
        for name, thoughts in read_carriers(self._extra):
            self._sort_carrier(f"messages[].{name}", thoughts)
        gone = [name for name in self._extra if f"messages[].{name}" in self._echoes.leaves or name in _FIELDS]
        for name in gone:
            raw = self._extra.pop(name)
            if name in CARRIERS or (name == NESTED and not rest_of_nested(raw)):
                continue  # its reasoning has been examined
            if name in _FIELDS:
                self._left_out.update({} if name in ("name", "role") else {OTHER: None})
            elif name in TEXTS:
                self._refused.append((f"messages[].{name}", pb.Thinking(text=string_or_json(raw))))
            elif bytes(raw) != b"null":
                self._left_out[f"messages[].{name}"] = None
        knows = self._echoes.knows
        strange = self._unknown(self._extra, None if knows is None else knows.message, OTHER)
        if gone or strange:
            _set(self._message, "extra_json", self._extra)

    def _unknown(self, members: dict[str, msgspec.Raw], known: frozenset[str] | None, name: str) -> bool:
        """Removes members that the provider does not know. Returns whether there were any."""
        strange = [] if known is None else [each for each in members if each not in known]
        for each in strange:
            if bytes(members.pop(each)) != b"null":
                self._left_out[name] = None
        return bool(strange)

    def _sort_carrier(self, name: str, thoughts: list[pb.Thinking]) -> None:
        """The first carrier with accepted reasoning supplies all of it, in order, before text and calls."""
        if not self._echoes.restores:
            if name not in self._echoes.leaves:
                self._taken += thoughts  # sent unchanged
                return
        elif not self._taken:
            self._taken = [thought for thought in thoughts if self._echoes.takes(thought)]
            self._kept[:0] = [_part(thought) for thought in self._taken]
        self._refused += [(name, thought) for thought in thoughts]

    def _say_refused(self) -> None:
        """Reports refused reasoning, unless it is empty or was sent in another member."""
        went = {_key(thought) for thought in self._taken}
        texts = {thought.text for thought in self._taken} | {"".join(thought.text for thought in self._taken), ""}
        for name, thought in self._refused:
            sealed = thought.redacted or thought.signature
            if _key(thought) not in went if sealed else thought.text not in texts:
                self._left_out[name] = None

    def _strip_calls(self) -> None:
        for number, call in enumerate(self._message.tool_calls):
            at = f"{self._at}.tool_calls[{number}]"
            knows = self._echoes.knows
            known = (None, None) if knows is None else (knows.call, knows.function)
            self._strip(call, "extra_json", at, "messages[].tool_calls[].", known[0])
            self._strip(call, "function_extra_json", at, "messages[].tool_calls[].function.", known[1])

    def _strip(self, call: pb.ToolCall, field: str, at: str, place: str, known: frozenset[str] | None) -> None:
        text = getattr(call, field)
        if not text:
            return
        members = callers_object(text, f"{at}.{field}")
        gone = [name for name in members if place + name in self._echoes.leaves]
        for name in gone:
            if bytes(members.pop(name)) != b"null":
                self._left_out[place + name] = None
        if self._unknown(members, known, OTHER_IN_CALL) or gone:
            _set(call, field, members)


def _thought_of(part: pb.ContentPart) -> tuple[str, pb.Thinking] | None:
    """The thought that a part represents, and the part's name in OpenAI's format."""
    match part.WhichOneof("part"):
        case "thinking":
            native = part.thinking.native_name
            place = f"messages[].{native}" if native in TEXTS else f"messages[].content[].{_kind(native)}"
            return place, part.thinking
        case "other_json" if may_be_block(part.other_json):
            raw = part.other_json.encode("utf-8", "surrogatepass")
            if (thought := read_block(raw)) is not None:
                return f"messages[].content[].{string_or_json(opened(raw)['type'])}", thought
    return None


# Blocks of tools that Anthropic runs itself, and others that no other provider accepts.
_CLAUDES_ENDINGS = ("_tool_use", "_tool_result")
_CLAUDES = ("container_upload", "compaction", "tool_reference")


def is_of_claudes_tools(block: str) -> bool:
    kind = string_or_json(opened(block.encode("utf-8", "surrogatepass")).get("type", msgspec.Raw(b"null")))
    return kind.endswith(_CLAUDES_ENDINGS) or kind in _CLAUDES


def _copy(part: pb.ContentPart) -> pb.ContentPart:
    made = pb.ContentPart()
    made.CopyFrom(part)
    return made


def _kind(native_name: str) -> str:
    return "reasoning" if native_name == "summary" else "thinking"


def _key(thought: pb.Thinking) -> tuple[str, bytes, bytes]:
    return thought.text, thought.signature, thought.redacted


def _part(thought: pb.Thinking) -> pb.ContentPart:
    return pb.ContentPart(thinking=thought)


def _set(message: Any, field: str, members: dict[str, msgspec.Raw]) -> None:
    text = object_text(members)
    if text is None:
        message.ClearField(field)
    else:
        setattr(message, field, text)


def string_or_json(raw: msgspec.Raw) -> str:
    """A string's value, or the text of any other JSON."""
    try:
        value = msgspec.json.decode(raw)
    except MALFORMED:
        return ""
    return value if isinstance(value, str) else bytes(raw).decode("utf-8", "replace")
