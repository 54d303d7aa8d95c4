"""Tells the tool calls of a streamed choice apart by index, id or name, whichever of these the provider sends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from adapters.contract import Context
from adapters.json_object import MALFORMED, OBJECTS, Obj
from adapters.openai.message import arguments_of
from sidecar.v1 import inference_pb2 as pb

# Longer arguments are not examined: a call without index and id that has the name of the previous one then counts as
# its continuation.
_KEPT_CHARS_MAX = 16_384


@dataclass(slots=True)
class _Call:
    number: int
    id: str = ""
    name: str = ""
    empty: bool = True  # no arguments so far
    arguments: str = ""  # the beginning, kept if it may be needed to tell whether the call is complete

    def is_complete(self) -> bool:
        try:
            OBJECTS.decode(self.arguments)
        except MALFORMED:
            return False
        return True


class ToolCalls:
    """The calls of one choice.

    A known id identifies its call, unless index or name contradict that. Otherwise a new name begins a call if the
    open one already has a name; a new id without a name does not, because some servers generate one for each piece.
    Without index and id, the last call continues, unless another entry of the same delta did that already, or it is
    complete and its name is repeated.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._calls: list[_Call] = []
        self._by_id: dict[str, _Call] = {}
        self._at_index: dict[int, _Call] = {}
        self.goes_on = False  # the last delta only had further arguments of calls identified by index

    def read(self, entries: Sequence[Obj]) -> list[pb.ToolCallDelta]:
        """Returns the pieces of one delta."""
        out: list[pb.ToolCallDelta] = []
        self.goes_on = True
        touched: set[int] = set()
        for obj in entries:
            out.append(self._piece(obj, touched))
            touched.add(out[-1].index)
        return out

    def end(self) -> list[pb.ToolCallDelta]:
        """Returns what is missing when the choice finishes: the empty object for a call without arguments, and an
        id for a call without one, so that results can be assigned."""
        out = []
        for call in self._calls:
            piece = pb.ToolCallDelta(index=call.number)
            if not call.id:
                call.id = piece.id = self._context.new_id("call_")
            if call.empty:
                call.empty = False
                piece.arguments_json = "{}"
            if piece.id or piece.arguments_json:
                out.append(piece)
        return out

    def _piece(self, obj: Obj, touched: set[int]) -> pb.ToolCallDelta:
        index, id_, kind = obj.integer("index"), obj.string("id") or "", obj.string("type")
        inner = obj.object("custom" if kind == "custom" or "custom" in obj.members else "function")
        name = (inner.string("name") or "") if inner is not None else ""
        call = self._call(index, id_, name, touched)
        out = pb.ToolCallDelta(index=call.number)
        if id_ and not call.id:
            call.id = out.id = id_
            self._by_id[id_] = call
        if name and not call.name:
            call.name = out.name = name
        if inner is not None:
            self._read_input(inner, call, out, keep=index is None and not id_)
            if (rest := inner.extra()) is not None:
                obj.members["function"] = msgspec.Raw(rest.encode())
        if (extra := obj.extra()) is not None:
            out.extra_json = extra
        self.goes_on = self.goes_on and index is not None and bool(out.arguments_json) and not (out.id or out.name)
        return out

    def _read_input(self, inner: Obj, call: _Call, out: pb.ToolCallDelta, *, keep: bool) -> None:
        if "input" in inner.members:
            out.custom_input = inner.string("input") or ""
            call.empty = False
            return
        out.arguments_json = arguments_of(inner)
        if out.arguments_json:
            call.empty = False
            if keep and len(call.arguments) <= _KEPT_CHARS_MAX:
                call.arguments += out.arguments_json

    def _call(self, index: int | None, id_: str, name: str, touched: set[int]) -> _Call:
        if id_ and (same := self._of_id(index, id_, name)) is not None:
            return same
        if index is not None:
            known = self._at_index.get(index)
        else:
            known = self._calls[-1] if self._calls else None
        if known is None or self._begins(known, index, id_, name, touched):
            known = _Call(len(self._calls))
            self._calls.append(known)
            if index is not None:
                self._at_index[index] = known
        return known

    def _of_id(self, index: int | None, id_: str, name: str) -> _Call | None:
        """The call with this id. Some servers give two calls the same id: then the index decides, or a different
        name."""
        here = None if index is None else self._at_index.get(index)
        same = here if here is not None and here.id == id_ else self._by_id.get(id_)
        if same is None or (name and same.name and name != same.name):
            return None
        return None if name and index is not None and here is not same and self._has_index(same) else same

    def _has_index(self, call: _Call) -> bool:
        return any(each is call for each in self._at_index.values())

    def _begins(self, known: _Call, index: int | None, id_: str, name: str, touched: set[int]) -> bool:
        """Whether an entry is a new call, rather than a piece of the call that is open at its position."""
        if id_ and known.id:
            return bool(name) or not known.name
        if not name or not known.name:
            return False
        if name != known.name:
            return True
        return index is None and (known.number in touched or known.is_complete())
