"""Removes from requests what their provider does not support, using the tables of `members`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from adapters.copies import copied
from adapters.fit import Fit
from adapters.json_object import MALFORMED, callers_object, object_text
from adapters.members import CHAT, COMPLETIONS, EMBEDDINGS, Meaning, Member
from adapters.thoughts import opened
from sidecar.v1 import inference_pb2 as pb

# Our field -> the member of OpenAI's format, if the names differ.
_MEMBERS = {
    "prompts": "prompt",
    "inputs": "input",
    "encoding": "encoding_format",
    "logit_bias_json": "logit_bias",
    "prediction_json": "prediction",
}
# Our kind of part -> its type in OpenAI's format, if the names differ.
_PART_TYPES = {"image": "image_url", "audio": "input_audio"}
# Members below the top level, other than echoes.
_INSIDE = frozenset(name for name, row in CHAT.items() if "." in name and row.meaning is not Meaning.ECHO)
_WITH_KINDS = ("response_format", "tool_choice")
_TOOL_ROLES = (pb.ROLE_TOOL, pb.ROLE_FUNCTION)
_PART = "messages[].content[]."
_SCHEMA = "response_format.json_schema."

# `places` in all functions are the members that a format supports. None stands for OpenAI's own format, where
# everything is sent except the hints, echoes and neutral values in `leaves`, from the provider's row. Each function
# returns the request, or a copy if something is removed, and raises unsupported_parameter for an instruction that is
# not supported.
Places = Collection[str] | None


def fit_chat(request: pb.ChatRequest, places: Places, fit: Fit, leaves: Collection[str] = ()) -> pb.ChatRequest:
    walk = _Walk(request, CHAT, places, leaves, fit)
    if (places is not None or "tool_choice" in leaves) and (not request.tools or "tools" in fit.drop):
        walk.choices_without_tools()
    walk.top()
    if places is not None or fit.drop or not _INSIDE.isdisjoint(leaves):
        for number, message in enumerate(walk.now.messages):
            if not _is_plain(message):
                walk.message(number)
        for number in reversed(range(len(walk.now.tools))):
            walk.tool(number)
        walk.schema()
    made: pb.ChatRequest = walk.now
    return made


def _is_plain(message: pb.Message) -> bool:
    """Whether it only has a role and one text, as most messages do, and needs no examination."""
    if len(message.ListFields()) > 2 or len(message.content) != 1:
        return False
    part = message.content[0]
    return part.WhichOneof("part") == "text" and not part.extra_json and not message.name


def fit_completion(
    request: pb.CompleteRequest, places: Places, fit: Fit, leaves: Collection[str] = ()
) -> pb.CompleteRequest:
    walk = _Walk(request, COMPLETIONS, places, leaves, fit)
    walk.top()
    made: pb.CompleteRequest = walk.now
    return made


def fit_embeddings(request: pb.EmbedRequest, places: Places, fit: Fit, leaves: Collection[str] = ()) -> pb.EmbedRequest:
    walk = _Walk(request, EMBEDDINGS, places, leaves, fit)
    walk.top()
    made: pb.EmbedRequest = walk.now
    return made


class _Walk:
    """Walks along one request. `now` is the request, or the copy once something was removed."""

    __slots__ = ("_fit", "_leaves", "_owned", "_places", "_table", "now")

    def __init__(
        self, request: Any, table: Mapping[str, Member], places: Places, leaves: Collection[str], fit: Fit
    ) -> None:
        self.now = request
        self._owned = False
        self._table = table
        self._places = places
        self._leaves = leaves
        self._fit = fit

    def _own(self) -> Any:
        if not self._owned:
            self.now, self._owned = copied(self.now), True
        return self.now

    def _goes(self, name: str, param: str, value: Any) -> bool:
        """Whether a member has to be removed, which is then reported. `value` is JSON, or a function that returns
        it."""
        if self._fit.drops(name):
            return True
        row = self._table.get(name)
        if row is None or name in self._places if self._places is not None else name not in self._leaves:
            return False
        if row is None or row.meaning is Meaning.ECHO:
            return False  # fit_history handles echoes
        found = value() if callable(value) else value
        if self._places is None and row.asks(found):
            return False  # left for the provider to refuse, in its own words
        self._fit.no_place(row, param, found)
        return True

    def top(self) -> None:
        """Fields, `stream_options`, and members of extra_json in the closed list."""
        request = self.now
        for field, value in request.ListFields():
            name = _MEMBERS.get(field.name, field.name)
            if name == "extra_json":
                self._members(request.extra_json, "", "", self._own, "extra_json")
            elif name in _WITH_KINDS and self._fit.drops(f"{name}.{_kind(value)}"):
                self._own().ClearField(name)
            elif name == "best_of" and name not in self._fit.drop and request.best_of == (request.n or 1):
                if name in self._leaves if self._places is None else name not in self._places:
                    self._fit.leave_out(name)
                    self._own().ClearField(name)
            elif self._goes(name, name, lambda field=field, value=value: _json_value(field, value)):
                self._own().ClearField(field.name)
            elif name == "stream_options":
                self._stream_options(value)

    def _members(self, text: str, place: str, at: str, owner: Any, field: str) -> None:
        """The members of an extra_json. null has no effect."""
        members = callers_object(text, at + field)
        kept = dict(members)
        for name, raw in members.items():
            if self._goes(place + name, at + name, lambda raw=raw: msgspec.json.decode(raw)):
                del kept[name]
        if len(kept) < len(members):
            if (left := object_text(kept)) is None:
                owner().ClearField(field)
            else:
                setattr(owner(), field, left)

    def _stream_options(self, options: pb.StreamOptions) -> None:
        """Usage is always requested; the rest is for OpenAI's own format."""
        name = "stream_options.include_obfuscation"
        if options.HasField("include_obfuscation") and self._goes(name, name, options.include_obfuscation):
            self._own().stream_options.ClearField("include_obfuscation")
        if options.extra_json and self._places is not None:
            for other in callers_object(options.extra_json, "stream_options.extra_json"):
                self._fit.refuse(f"stream_options.{other}")

    def choices_without_tools(self) -> None:
        """A tool choice without tools has no effect."""
        request = self.now
        if request.HasField("parallel_tool_calls"):
            self._fit.leave_out("parallel_tool_calls")
            self._own().ClearField("parallel_tool_calls")
        if request.tool_choice.mode in (pb.ToolChoice.MODE_AUTO, pb.ToolChoice.MODE_NONE):
            self._fit.leave_out("tool_choice")
            self._own().ClearField("tool_choice")

    def message(self, number: int) -> None:
        message, at = self.now.messages[number], f"messages[{number}]."
        named = message.HasField("name") and message.role not in _TOOL_ROLES
        if named and self._goes("messages[].name", f"{at}name", message.name):
            self._own().messages[number].ClearField("name")
        if message.HasField("tool_error") and self._fit.drops("messages[].tool_error"):
            self._own().messages[number].ClearField("tool_error")
        if message.HasField("tool_call_id") and self._fit.drops("messages[].tool_call_id"):
            self._own().messages[number].ClearField("tool_call_id")
        self._calls(message, number)
        if message.extra_json:
            self._members(message.extra_json, "messages[].", at, lambda: self._own().messages[number], "extra_json")
        for index in reversed(range(len(message.content))):
            part = message.content[index]
            if part.extra_json or part.WhichOneof("part") != "text":
                self._part(number, index)

    def _calls(self, message: pb.Message, number: int) -> None:
        if message.tool_calls and self._fit.drops("messages[].tool_calls"):
            del self._own().messages[number].tool_calls[:]
            return
        for index in reversed(range(len(message.tool_calls))):
            if message.tool_calls[index].HasField("custom_input") and self._fit.drops("messages[].tool_calls[].custom"):
                del self._own().messages[number].tool_calls[index]

    def _part(self, number: int, index: int) -> None:
        part, at = self.now.messages[number].content[index], f"messages[{number}].content[{index}]."
        if part.WhichOneof("part") != "thinking" and self._fit.drops(_PART + part_type(part)):
            del self._own().messages[number].content[index]
            return
        if part.image.HasField("detail") and self._goes(
            f"{_PART}image_url.detail", f"{at}image_url.detail", part.image.detail
        ):
            self._own().messages[number].content[index].image.ClearField("detail")
        if part.extra_json:
            self._members(part.extra_json, _PART, at, lambda: self._own().messages[number].content[index], "extra_json")

    def tool(self, number: int) -> None:
        tool, at = self.now.tools[number], f"tools[{number}]."
        if self._fit.drops(f"tools[].{_kind(tool)}"):
            del self._own().tools[number]
            return
        if tool.extra_json:
            self._members(tool.extra_json, "tools[].", at, lambda: self._own().tools[number], "extra_json")
        if tool.function.HasField("strict") and self._fit.drops("tools[].function.strict"):
            self._own().tools[number].function.ClearField("strict")
        if tool.function.extra_json:
            place, inner = "tools[].function.", f"{at}function."
            self._members(
                tool.function.extra_json, place, inner, lambda: self._own().tools[number].function, "extra_json"
            )

    def schema(self) -> None:
        if self.now.response_format.WhichOneof("format") != "json_schema":
            return
        schema = self.now.response_format.json_schema
        for field, value in schema.ListFields():
            if field.name != "extra_json" and self._goes(_SCHEMA + field.name, _SCHEMA + field.name, value):
                self._own().response_format.json_schema.ClearField(field.name)


def part_type(part: pb.ContentPart) -> str:
    """A part's type in OpenAI's format."""
    kind = part.WhichOneof("part") or ""
    if kind != "other_json":
        return _PART_TYPES.get(kind, kind)
    return _other_type(part.other_json) or "type"


_KINDS = {"function_name": "function", "custom_name": "custom"}


def _kind(value: pb.Tool | pb.ToolChoice | pb.ResponseFormat) -> str:
    """The kind of a value, by OpenAI's name."""
    kind = value.WhichOneof(value.DESCRIPTOR.oneofs[0].name) or ""
    if kind == "other_json":
        return _other_type(getattr(value, kind))
    return _KINDS.get(kind, kind)


def _other_type(text: str) -> str:
    try:
        found = msgspec.json.decode(opened(text.encode("utf-8", "surrogatepass")).get("type", b""))
    except MALFORMED:
        return ""
    return found if isinstance(found, str) else ""


def _json_value(field: Any, value: Any) -> Any:
    """A field's value as JSON."""
    if field.name.endswith("_json"):
        try:
            return msgspec.json.decode(value)
        except MALFORMED:
            return value
    if field.name == "response_format":
        return {"type": value.WhichOneof("format")}
    return list(value) if field.is_repeated else value
