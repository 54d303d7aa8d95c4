"""Chat through /v1/chat (https://docs.cohere.com/v1/reference/chat), which streams lines of JSON.

The last message is the question, those before it are the history. Its tools have a different format without JSON
Schema: they are refused by name, use /v2 for them. Documents, connectors and the like are passed through extra_json.
"""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.cohere.answer import add_usage, failed, finish_reason, inner, read_usage
from adapters.cohere.chat_answer import open_answer
from adapters.cohere.chat_request import max_tokens, write_format
from adapters.cohere.failure import in_band, protocol
from adapters.cohere.places import V1_PLACES
from adapters.cohere.url import url_of
from adapters.contract import Context, HttpCall, Target
from adapters.delta_lists import DeltaLists
from adapters.echoes import NO_ECHOES, fit_history
from adapters.fit import Fit
from adapters.fit_request import fit_chat, part_type
from adapters.json_object import Obj, callers_object, merge_extra, of_answer
from adapters.refusals import invalid, plain_fields
from adapters.sse import Event
from sidecar.v1 import inference_pb2 as pb

_PLAIN = (
    ("temperature", "temperature"),
    ("top_p", "p"),
    ("seed", "seed"),
    ("frequency_penalty", "frequency_penalty"),
    ("presence_penalty", "presence_penalty"),
)
_OWNED = frozenset(
    {"model", "message", "chat_history", "stream", "response_format", "stop_sequences", "max_tokens"}
    | {theirs for _, theirs in _PLAIN}
)
_ROLES = {
    pb.ROLE_SYSTEM: "SYSTEM",
    pb.ROLE_DEVELOPER: "SYSTEM",
    pb.ROLE_USER: "USER",
    pb.ROLE_ASSISTANT: "CHATBOT",
}
_TURN = frozenset({"role", "message"})
_TEXT_ONLY = "version 1 of its API only accepts text"
# Members of a whole answer that have a field. chat_history repeats the request, which the caller already has, and
# would make answers grow without bound.
_REPEATED = ("chat_history", "prompt")


def encode(request: pb.ChatRequest, target: Target, stream: bool, context: Context) -> HttpCall:
    fit = Fit(target)
    if not request.messages:
        raise invalid("messages", "at least one is needed")
    request = fit_history(fit_chat(request, V1_PLACES, fit), NO_ECHOES, fit)
    turns = [_turn(message, fit, f"messages[{i}]") for i, message in enumerate(request.messages)]
    question = turns.pop()
    if question["role"] != "USER" or len(question) > len(_TURN):
        raise invalid(f"messages[{len(turns)}]", "the last message must be from the user, without further members")
    body: dict[str, Any] = {"model": target.model, "message": question["message"]}
    if turns:
        body["chat_history"] = turns
    body |= plain_fields(request, _PLAIN) | max_tokens(request)
    if stream:
        body["stream"] = True
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if request.HasField("response_format"):
        body |= write_format(request.response_format, fit, "schema")
    body = merge_extra(body, request.extra_json, "", _OWNED)
    return HttpCall(url_of(target, "/v1/chat"), msgspec.json.encode(body), left_out=fit.left_out())


def _turn(message: pb.Message, fit: Fit, at: str) -> dict[str, Any]:
    if message.role in (pb.ROLE_TOOL, pb.ROLE_FUNCTION) or message.tool_calls:
        raise fit.unsupported(f"{at}.tool_calls", "version 1 of its API has a different format for tools")
    if message.role not in _ROLES:
        raise invalid(f"{at}.role", "a role is needed")
    for name in ("tool_call_id", "tool_error"):
        if message.HasField(name):
            fit.refuse(f"{at}.{name}", f"messages[].{name}")
    fields = {"role": _ROLES[message.role], "message": _text(message, fit, at)}
    return merge_extra(fields, message.extra_json, at, _TURN)


def _text(message: pb.Message, fit: Fit, at: str) -> str:
    """Several texts become paragraphs, because a message is one string here."""
    texts = []
    for i, part in enumerate(message.content):
        kind = part.WhichOneof("part")
        if kind in ("text", "refusal"):
            texts.append(part.text or part.refusal)
        elif kind is None:
            raise invalid(f"{at}.content[{i}]", "a content part must have exactly one kind")
        else:
            word = part_type(part)
            fit.refuse(f"{at}.content[{i}].{word}", f"messages[].content[].{word}", _TEXT_ONLY)
        if part.extra_json:
            for name in callers_object(part.extra_json, f"{at}.content[{i}].extra_json"):
                fit.refuse(f"{at}.content[{i}].{name}", f"messages[].content[].{name}", _TEXT_ONLY)
    return "\n\n".join(texts)


def decode(body: bytes, context: Context) -> pb.ChatResponse:
    obj = open_answer(body)
    native = obj.string("finish_reason") or ""
    if failed(native):
        raise in_band(obj)
    text = obj.string("text")
    if text is None:
        raise protocol("it has no text")
    answer = pb.ChatResponse(created=context.now_s, model=context.model)
    answer.id = obj.string("generation_id") or obj.string("response_id") or context.new_id("chatcmpl-")
    choice = answer.choices.add(index=0, finish_reason=finish_reason(native), native_finish_reason=native)
    choice.message.role = pb.ROLE_ASSISTANT
    if text:
        choice.message.content.add(text=text)
    choice.message.tool_calls.extend(_calls(obj, context))
    if citations := obj.json("citations"):
        choice.message.extra_json = '{"citations":' + citations + "}"
    _finish(obj, answer)
    return answer


def _calls(obj: Obj, context: Context) -> list[pb.ToolCall]:
    """Calls of tools that the caller described in extra_json, in version 1's format. They have no ids."""
    out = []
    for call in obj.objects("tool_calls"):
        name, text = call.string("name") or "", call.json("parameters") or "{}"
        out.append(pb.ToolCall(id=context.new_id("call_"), name=name, arguments_json=text))
        if (extra := call.extra()) is not None:
            out[-1].extra_json = extra
    return out


def _finish(obj: Obj, answer: Any) -> None:
    """Usage, and everything else."""
    for name in _REPEATED:
        obj.members.pop(name, None)
    if (meta := inner(obj, "meta")) is not None:
        add_usage(answer, read_usage(meta))
        if rest := meta.extra():
            obj.members["meta"] = msgspec.Raw(rest.encode())
    if (extra := obj.extra()) is not None:
        answer.extra_json = extra


class ChatDecoder:
    """A stream of lines: stream-start, pieces of text, stream-end with the complete answer once more."""

    def __init__(self, target: Target, context: Context) -> None:
        self.done = False
        self.repeats = False  # its events are lines
        self._context = context
        self._head = pb.StreamChatResponse(created=context.now_s, model=context.model)
        self._lists = DeltaLists()
        self._started = False
        self._spoken = False

    def feed(self, event: Event) -> list[Any]:
        if self.done:
            return []
        obj = open_answer(event.data)
        name = obj.string("event_type") or ""
        obj.take("is_finished")
        if name == "stream-error":
            raise in_band(obj)
        if name == "stream-end":
            return [*self._start(obj), *self._end(obj)]
        out = self._start(obj)
        match name:
            case "stream-start":
                obj.take("generation_id")
                return out
            case "text-generation":
                self._spoken = True
                return [*out, self._chunk(pb.Delta(content=obj.string("text") or ""))]
            case "citation-generation":
                citations = obj.json("citations") or "[]"
                return [
                    *out,
                    self._chunk(pb.Delta(extra_json=self._lists.extra_json({"citations": citations.encode()}))),
                ]
            case "":
                raise protocol("a line without an event_type")
            case _:
                # Search queries and results, pieces of tool calls: all of them are repeated, complete, at the end.
                return out

    def close(self) -> list[Any]:
        if not self.done:
            raise protocol("its stream ended before stream-end")
        return []

    def _start(self, obj: Obj) -> list[Any]:
        """Generations without stream-start begin with their text."""
        if self._started:
            return []
        self._started = True
        raw = obj.members.get("generation_id")
        known = Obj(b"{}", "", of_answer)
        known.members = {} if raw is None else {"generation_id": raw}
        self._head.id = known.string("generation_id") or self._context.new_id("chatcmpl-")
        return [self._chunk(pb.Delta(role=pb.ROLE_ASSISTANT))]

    def _end(self, obj: Obj) -> list[Any]:
        native = obj.string("finish_reason") or ""
        whole = obj.object("response") or Obj(b"{}", "response", of_answer)
        native = native or whole.string("finish_reason") or ""
        if failed(native):
            raise in_band(obj)
        if not native:
            raise protocol("a stream-end without a finish reason")
        self.done = True
        last = self._chunk(pb.Delta())
        last.choices[0].finish_reason = finish_reason(native)
        last.choices[0].native_finish_reason = native
        delta = last.choices[0].delta
        text = whole.string("text")
        if text and not self._spoken:
            delta.content = text
        for i, call in enumerate(_calls(whole, self._context)):
            delta.tool_calls.add(index=i, id=call.id, name=call.name, arguments_json=call.arguments_json)
        for name in ("finish_reason", "generation_id", "citations"):  # sent already
            whole.members.pop(name, None)
        _finish(whole, last)
        return [last]

    def _chunk(self, delta: pb.Delta) -> pb.StreamChatResponse:
        head = self._head
        choice = pb.ChunkChoice(index=0, delta=delta)
        return pb.StreamChatResponse(id=head.id, created=head.created, model=head.model, choices=[choice])
