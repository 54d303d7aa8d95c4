"""Decodes streamed answers. Chat and completions only differ in what a choice contains."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.contract import Context, Target
from adapters.errors import GatewayError, Kind
from adapters.json_object import OBJECTS, Obj, array_items, of_answer
from adapters.openai.chat_answer import new_id, open_answer, read_head
from adapters.openai.failure import described, in_band, protocol, refuse_error
from adapters.openai.finish_and_usage import ROLES, read_finish
from adapters.openai.logprobs import read_logprobs
from adapters.openai.message import call_objects
from adapters.openai.stream_tool_calls import ToolCalls
from adapters.openai.thinking_parts import THINKING_NAMES, read_thought
from adapters.sse import Event
from sidecar.v1 import inference_pb2 as pb

DONE = b"[DONE]"


class StreamDecoder:
    """What both kinds of stream share: end marker, errors, the head. Subclasses read a choice.

    The first id, time and model are repeated in every chunk; a choice finishes once, whatever the provider repeats.
    """

    def __init__(self, target: Target, context: Context) -> None:
        self.done = False
        self.repeats = False
        self._target = target
        self._context = context
        self._id = ""
        self._created = 0
        self._model = ""
        self._held = ""  # extra_json of chunks that came before there was an id
        self._finished: dict[int, bool] = {}  # by choice

    def feed(self, event: Event) -> list[Any]:
        self.repeats = False
        data = event.data.strip()
        if self.done or not data:
            return []
        if data == DONE:
            self.end_marker()
            return []
        obj = open_answer(event.data)
        if event.name == "error":  # the error's members without an enclosing error object
            raise in_band(event.data)
        if not obj.members.keys() & {"choices", "usage"} and (failure := described(event.data)) is not None:
            raise failure
        chunk = self._chunk(obj)
        if chunk is None:
            return []
        self.repeats = not chunk.HasField("usage") and all(map(self._adds_text, chunk.choices))
        return [chunk]

    def end_marker(self) -> None:
        """Handles [DONE]. Raises upstream_protocol if nothing preceded it."""
        if not self._finished:
            raise protocol("the stream has no answer in it")
        self.done = True

    def close(self) -> list[Any]:
        """Handles the end of the body, which ends the stream without [DONE] if the target's stream_end allows it."""
        if self.done:
            return []
        ends = {"finish": all(self._finished.values()), "close": True}
        if self._finished and ends.get(self._target.stream_end, False):
            self.done = True
            return []
        raise GatewayError(Kind.UPSTREAM_PROTOCOL, "The provider's stream ended before its end marker.")

    def progress(self, index: int, finish_word: str | None) -> bool:
        """Notes a piece of a choice. Returns whether it is the one that finishes it."""
        finishes = bool(finish_word) and not self._finished.get(index, False)
        self._finished[index] = finishes or self._finished.get(index, False)
        return finishes

    def _chunk(self, obj: Obj) -> Any | None:
        chunk = self.empty_chunk()
        read_head(obj, chunk, None)
        for raw, path in obj.array("choices") or ():
            choice = Obj(raw, path, of_answer)
            refuse_error(choice)
            into = chunk.choices.add()
            into.index = choice.integer("index") or 0
            read_finish(choice, into)
            if not self.progress(into.index, into.native_finish_reason):
                into.ClearField("finish_reason")
                into.ClearField("native_finish_reason")
            self._read_choice(choice, into)
            if (extra := choice.extra()) is not None:
                into.extra_json = extra
        return self._headed(chunk, obj.extra() or "")

    def _headed(self, chunk: Any, extra: str) -> Any | None:
        """The chunk with the stream's head. Azure's first chunk (filter results, no choices) has no id yet; its
        contents wait for the next one."""
        if not (self._id or chunk.id or chunk.choices or chunk.HasField("usage")):
            self._held = _merged(self._held, extra)
            return None
        if not self._id:
            self._id = chunk.id or new_id(chunk, self._context)
            self._created = chunk.created or self._context.now_s
        self._model = self._model or chunk.model
        chunk.id, chunk.created, chunk.model = self._id, self._created, self._model
        if self._held or extra:
            chunk.extra_json, self._held = _merged(self._held, extra), ""
        return chunk

    def empty_chunk(self) -> Any:
        raise NotImplementedError

    def _adds_text(self, piece: Any) -> bool:
        """Whether this piece of a choice does not affect how later ones are read."""
        raise NotImplementedError

    def _read_choice(self, choice: Obj, into: Any) -> None:
        raise NotImplementedError


def _merged(first: str, second: str) -> str:
    if not (first and second):
        return first or second
    return msgspec.json.encode({**OBJECTS.decode(first), **OBJECTS.decode(second)}).decode()


class ChatDecoder(StreamDecoder):
    """Chat streams. Tool calls are numbered in order of appearance, whatever indexes the provider uses."""

    def __init__(self, target: Target, context: Context) -> None:
        super().__init__(target, context)
        self._calls: dict[int, ToolCalls] = {}

    def empty_chunk(self) -> Any:
        return pb.StreamChatResponse()

    def _adds_text(self, piece: Any) -> bool:
        delta = piece.delta
        if piece.finish_reason or (delta.tool_calls and not self._calls[piece.index].goes_on):
            return False
        return bool(delta.content or delta.refusal or delta.thinking.text or delta.tool_calls)

    def _read_choice(self, choice: Obj, into: Any) -> None:
        delta = choice.object("delta")
        if delta is not None:
            self._read_delta(delta, into.delta, self._calls.setdefault(into.index, ToolCalls(self._context)))
        read_logprobs(choice, into)
        if into.finish_reason and into.index in self._calls:
            into.delta.tool_calls.extend(self._calls[into.index].end())

    def _read_delta(self, obj: Obj, into: pb.Delta, calls: ToolCalls) -> None:
        role = obj.string("role")
        if role:
            into.role = ROLES.get(role, pb.ROLE_ASSISTANT)
        into.content = _content(obj, into)
        into.refusal = obj.string("refusal") or ""
        for name in THINKING_NAMES:
            raw = obj.members.get(name)
            if raw is not None and bytes(raw).startswith(b'"'):
                if text := obj.string(name):
                    into.thinking.text = text
                    into.thinking.native_name = name
                break
        into.tool_calls.extend(calls.read(list(call_objects(obj))))
        if (extra := obj.extra()) is not None:
            into.extra_json = extra


def _content(delta: Obj, into: pb.Delta) -> str:
    """Returns the text. If the content is a list, a thought in it goes into `into`; other items stay in extra_json."""
    raw = bytes(delta.members.get("content", b""))
    if not raw.startswith(b"["):
        return delta.string("content") or ""
    texts: list[str] = []
    whole = True
    for item, path in array_items(raw, delta.at("content"), delta.refusal):
        part = Obj(item, path, delta.refusal)
        kind = part.string("type") or ""
        if kind == "text":
            texts.append(part.string("text") or "")
        elif (thought := read_thought(kind, part)) is not None:
            _think(thought, into)
            whole = whole and not thought.extra_json  # Mistral's "closed", in the last piece
        else:
            whole = False
    if whole:
        del delta.members["content"]
    return "".join(texts)


def _think(thought: pb.Thinking, into: pb.Delta) -> None:
    if thought.text or thought.HasField("signature"):
        into.thinking.text += thought.text
        into.thinking.native_name = thought.native_name
    if thought.HasField("signature"):
        into.thinking.signature = thought.signature


class CompletionDecoder(StreamDecoder):
    """Text completion streams."""

    def empty_chunk(self) -> Any:
        return pb.StreamCompleteResponse()

    def _adds_text(self, piece: Any) -> bool:
        return bool(piece.text) and not piece.finish_reason

    def _read_choice(self, choice: Obj, into: Any) -> None:
        into.text = choice.string("text") or ""
        if (logprobs := choice.json("logprobs")) is not None:
            into.logprobs_json = logprobs
