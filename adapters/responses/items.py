"""Decodes items of `input` as messages.

An assistant turn consists of several items here (reasoning, message, calls), and of one message there. What a
provider's own tools did in the past is an echo: other providers do not get it, and it is reported.
"""

from __future__ import annotations

import re

from adapters.errors import GatewayError, Kind
from adapters.json_object import Obj, decoded_string, of_request
from adapters.responses.parts import read_content
from adapters.responses.sealed import opened
from adapters.responses.tool_names import flat_name
from sidecar.v1 import inference_pb2 as pb

_ROLES = {
    "user": pb.ROLE_USER,
    "assistant": pb.ROLE_ASSISTANT,
    "system": pb.ROLE_SYSTEM,
    "developer": pb.ROLE_DEVELOPER,
}
_OUTPUTS = ("function_call_output", "custom_tool_call_output")
# Instructions that only a server with stored answers can follow, or that change the conversation itself.
_REFUSED = ("compaction", "compaction_trigger", "additional_tools", "context_compaction")
_REFERENCE = (
    "'{path}' refers to an item of an earlier answer that is not stored here. Send the items themselves (set "
    "store to false "
    "in the client), or have the operator set `responses: {{remember: 1h}}` in the config."
)
# As OpenAI names the types of items and tools.
_TYPE_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def type_name(obj: Obj, kind: str) -> str:
    """`kind`, the type of an item or a tool that is left out: callers read it in a header. Raises invalid_request for what cannot
    be one."""
    if _TYPE_NAME.fullmatch(kind) is None:
        raise of_request(obj.at("type"), "the name of a type")
    return kind


class Conversation:
    """The messages built so far, and the names of what was left out."""

    def __init__(self) -> None:
        self.messages: list[pb.Message] = []
        self.left_out: dict[str, None] = {}

    def read(self, raw: bytes, path: str) -> None:
        """Reads `input`: a string is a user message. Raises invalid_request, with the path."""
        if raw.startswith(b'"'):
            text = decoded_string(raw, path, of_request)
            self.messages.append(pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text=text)]))
            return
        obj = Obj(b'{"input":' + raw + b"}", "", of_request)
        for item, at in obj.array("input") or ():
            self._add(Obj(item, at, of_request))

    def _add(self, item: Obj) -> None:
        kind = item.string("type")
        if kind == "message" or (kind is None and "role" in item.members):
            self._message(item)
        elif kind == "reasoning":
            self._reasoning(item)
        elif kind in ("function_call", "custom_tool_call"):
            self._call(item, custom=kind == "custom_tool_call")
        elif kind in _OUTPUTS:
            self._output(item)
        elif kind == "item_reference" or (kind is None and item.members.keys() == {"id"}):
            self._reference(item)
        elif kind is None:
            raise of_request(item.at("type"), "a string")
        elif kind in _REFUSED:
            text = f"'{item.path}' is an item of type {kind}, which only OpenAI's own models can follow."
            raise GatewayError(Kind.UNSUPPORTED_PARAMETER, text, param=item.at("type"))
        else:  # what a tool of the provider's did
            self.left_out[f"input[].{type_name(item, kind)}"] = None

    def _turn(self) -> pb.Message:
        """The current assistant turn."""
        if not self.messages or self.messages[-1].role != pb.ROLE_ASSISTANT:
            self.messages.append(pb.Message(role=pb.ROLE_ASSISTANT))
        return self.messages[-1]

    def _message(self, item: Obj) -> None:
        word = item.string("role") or ""
        if word not in _ROLES:
            raise of_request(item.at("role"), f"one of {', '.join(_ROLES)}")
        role = _ROLES[word]
        content = item.take("content")
        if content is None:
            raise of_request(item.at("content"), "a string or an array")
        if role != pb.ROLE_ASSISTANT:
            self.messages.append(pb.Message(role=role))
        read_content(content, item.at("content"), self._turn() if role == pb.ROLE_ASSISTANT else self.messages[-1])

    def _reasoning(self, item: Obj) -> None:
        shown = pb.Message()
        for name in ("summary", "content"):
            if (raw := item.take(name)) is not None and not shown.content:
                read_content(raw, item.at(name), shown)
        text = "\n\n".join(part.text for part in shown.content)
        self._turn().content.add(thinking=opened(text, item.string("encrypted_content")))

    def _call(self, item: Obj, *, custom: bool) -> None:
        name = item.string("name")
        if not name:
            raise of_request(item.at("name"), "a string")
        call = self._turn().tool_calls.add(id=_call_id(item), name=flat_name(item.string("namespace") or "", name))
        if custom:
            call.custom_input = item.string("input") or ""
        else:
            call.arguments_json = item.string("arguments") or "{}"

    def _output(self, item: Obj) -> None:
        message = pb.Message(role=pb.ROLE_TOOL, tool_call_id=_call_id(item))
        if (raw := item.take("output")) is not None:
            read_content(raw, item.at("output"), message)
        self.messages.append(message)

    def _reference(self, item: Obj) -> None:
        id_ = item.string("id") or ""
        if not id_.startswith("rs_"):
            text = _REFERENCE.format(path=item.path)
            raise GatewayError(Kind.UNSUPPORTED_PARAMETER, text, param=item.path)
        self.left_out["input[].item_reference"] = None  # a thought, without which the conversation is still valid


def _call_id(item: Obj) -> str:
    id_ = item.string("call_id")
    if not id_:
        raise of_request(item.at("call_id"), "a string")
    return id_
