"""Stored answers: what is kept of each, and how a request that continues one is completed.

An answer's id has 128 random bits, as have the ids of its items, from which the answer that an item belongs to can
be derived. A record holds the answer, the request's own items, and the ids of the preceding answers. References to
items stay references in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from adapters.contract import Envelope
from adapters.errors import GatewayError, Kind
from adapters.json_object import MALFORMED, OBJECTS

# Unlike the prefix of any provider.
_OURS = "sc"
_RESPONSE = re.compile(r"resp_sc[0-9a-f]{32}")
_ITEM = re.compile(r"[a-z]{1,8}_sc(?P<response>[0-9a-f]{32})[0-9a-f]{4,8}")
# A conversation with more answers is an unattended loop.
_ANSWERS_MAX = 2_000
# The limit for a single request; a conversation sent piece by piece must not be larger either.
CONVERSATION_BYTES_MAX = 64 * 1024 * 1024
Item = dict[str, msgspec.Raw]
_ITEMS = msgspec.json.Decoder(list[Item])
_REFERENCE = msgspec.Raw(b'"item_reference"')
# Reasoning, without which the conversation is still valid: what is missing is left out.
_THOUGHT = "rs_"


class Ids:
    """Ids of one answer and its items, derived from 32 hex digits that cannot be guessed."""

    def __init__(self, digits: str) -> None:
        self._digits = digits
        self._count = 0
        self.response = f"resp_{_OURS}{digits}"

    def __call__(self, prefix: str) -> str:
        """Like `Context.new_id`."""
        if prefix == "resp_":
            return self.response
        self._count += 1
        return f"{prefix}{_OURS}{self._digits}{self._count:04x}"


class Record(msgspec.Struct, frozen=True):
    """The record of one answer. `input` are the items of its own request, each with an id; `before` are the answers
    that it continued, the first one first."""

    response: msgspec.Raw
    input: tuple[Item, ...]
    before: tuple[str, ...] = ()

    @property
    def output(self) -> tuple[Item, ...]:
        return _OUTPUTS.decode(self.response).output


class _Output(msgspec.Struct):
    output: tuple[Item, ...] = ()


_OUTPUTS = msgspec.json.Decoder(_Output)
_RECORDS = msgspec.json.Decoder(Record)
Records = Mapping[str, Record]


def written(record: Record) -> bytes:
    return msgspec.json.encode(record)


def read_record(value: bytes) -> Record:
    return _RECORDS.decode(value)


def not_kept(response: bytes) -> bytes:
    """The answer, changed to report that it could not be stored."""
    return msgspec.json.encode({**OBJECTS.decode(response), "store": False})


def is_response_id(text: str) -> bool:
    """Whether it is one of ours, so the answer may be stored here."""
    return _RESPONSE.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Needs:
    """What a request refers to in earlier answers. `previous` is "" if it does not continue one of ours; `items`
    are its own."""

    previous: str
    items: tuple[Item, ...]
    keeps: bool = True  # whether its answer is to be stored: not with `store: false`
    ids: frozenset[str] = field(default_factory=frozenset)  # answers that its items refer to


def read_needs(envelope: Envelope, ids: Ids) -> Needs:
    """`ids` gives each item an id that lacks one. Malformed parts are left to the reader of the request."""
    members = envelope.members
    previous = _text(members.get("previous_response_id"))
    items = tuple(_with_id(item, ids) for item in _items(members.get("input")))
    return Needs(
        previous if is_response_id(previous) else "",
        items,
        keeps=members.get("store") != b"false",
        ids=referred(items),
    )


def missing(needs: Needs, records: Records) -> set[str]:
    """Ids of answers that are needed and not among `records` yet; call again after loading those."""
    needed = set(needs.ids)
    if needs.previous:
        needed.add(needs.previous)
        for each in _chain(needs, records):
            needed.add(each)
            if (record := records.get(each)) is not None:
                needed |= referred(record.input)
    return needed - records.keys()


def require(needs: Needs, found: Records, kept_for: str) -> None:
    """Raises invalid_request, by name, for what the request requires and is not stored. `kept_for` says how long
    answers are stored."""
    forgotten = [each for each in _chain(needs, found) if each not in found]
    if forgotten:
        text = f'There is no response "{needs.previous}" to continue'
        if forgotten[-1] != needs.previous:
            text = f'Response "{needs.previous}" goes back to "{forgotten[-1]}", which is no longer stored'
        text += f". Answers are kept for {kept_for} after their last use. Send the whole conversation as input."
        raise GatewayError(Kind.INVALID_REQUEST, text, param="previous_response_id", code="previous_response_not_found")
    known = _Known(found)
    for at, item in enumerate(needs.items):
        id_ = _reference(item)
        if id_ and _owner(id_) and not id_.startswith(_THOUGHT) and known.item(id_) is None:
            text = (
                f'There is no item "{id_}". Items are kept for {kept_for} after their last use. Send the item itself.'
            )
            raise GatewayError(Kind.INVALID_REQUEST, text, param=f"input[{at}]", code="item_not_found")


def conversation(needs: Needs, records: Records) -> list[Item]:
    """Returns all items, those of earlier answers first, with references to ours resolved. Raises
    request_too_large: a short reference may stand for a long item, and occur a thousand times."""
    items = [item for each in _chain(needs, records) for item in (*records[each].input, *records[each].output)]
    known, found, size = _Known(records), [], 0
    for item in (*items, *needs.items):
        found.append(known.item(_reference(item)) or item)
        size += sum(map(len, found[-1].values()))
        if size > CONVERSATION_BYTES_MAX:
            text = f"The conversation has more than {CONVERSATION_BYTES_MAX} bytes. Send the last part of it as input."
            raise GatewayError(
                Kind.REQUEST_TOO_LARGE, text, param="previous_response_id" if needs.previous else "input"
            )
    return found


class _Known:
    """Items by id; each record is parsed once."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._items: dict[str, dict[str, Item]] = {}

    def item(self, id_: str) -> Item | None:
        """`id_` may be "", or another provider's."""
        owner = _owner(id_)
        record = self._records.get(owner)
        if record is None:
            return None
        if owner not in self._items:
            items = (*record.input, *record.output)
            self._items[owner] = {_text(each.get("id")): each for each in items if not _reference(each)}
        return self._items[owner].get(id_)


def listed(needs: Needs, records: Records) -> list[Item]:
    """The same as the API lists items: with content in parts."""
    return [_in_parts(item) for item in conversation(needs, records)]


def expanded(envelope: Envelope, needs: Needs, records: Records) -> Mapping[str, bytes]:
    """The members of a request without references. Our ids are removed, since a provider would look them up among
    its own."""
    members = dict(envelope.members)
    if needs.previous:
        del members["previous_response_id"]
    if needs.previous or needs.ids:
        members["input"] = msgspec.json.encode([_without_id(item) for item in conversation(needs, records)])
    return members


def before(needs: Needs, records: Records) -> tuple[str, ...]:
    """The answers that the new one continues. Raises invalid_request if there are too many."""
    chain = _chain(needs, records)
    if len(chain) > _ANSWERS_MAX:
        text = f"This conversation has more than {_ANSWERS_MAX} answers. Send the last part of it as input."
        raise GatewayError(Kind.INVALID_REQUEST, text, param="previous_response_id")
    return chain


def _chain(needs: Needs, records: Records) -> tuple[str, ...]:
    """As far as it is known."""
    if not needs.previous:
        return ()
    record = records.get(needs.previous)
    return (needs.previous,) if record is None else (*record.before, needs.previous)


def _items(raw: bytes | None) -> list[Item]:
    """A text is a user message, and content that is a text becomes one part, as items are listed."""
    if raw is None:
        return []
    try:
        if raw.startswith(b'"'):
            return [{"role": msgspec.Raw(b'"user"'), "content": msgspec.Raw(raw)}]
        return _ITEMS.decode(raw)
    except MALFORMED:
        return []


def _in_parts(item: Item) -> Item:
    content = bytes(item.get("content", b""))
    if not content.startswith(b'"'):
        return item
    kind = "output_text" if _text(item.get("role")) == "assistant" else "input_text"
    part = {"type": kind, "text": msgspec.Raw(content)}
    return {**item, "content": msgspec.Raw(msgspec.json.encode([part]))}


def _with_id(item: Item, ids: Ids) -> Item:
    if _text(item.get("id")) or _reference(item):
        return item
    kind = _text(item.get("type")) or "message"
    prefix = _PREFIXES.get(kind, "item_")
    return {"id": _raw(ids(prefix)), "type": _raw(kind), **{k: v for k, v in item.items() if k not in ("id", "type")}}


_PREFIXES = {
    "message": "msg_",
    "reasoning": "rs_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "custom_tool_call": "ctc_",
    "custom_tool_call_output": "ctco_",
}


def referred(items: tuple[Item, ...]) -> frozenset[str]:
    """The answers that references among the items lead to."""
    return frozenset(owner for item in items if (id_ := _reference(item)) and (owner := _owner(id_)))


def _reference(item: Item) -> str:
    """The id that the item refers to; "" if it is not a reference."""
    kind = bytes(item.get("type", b"null"))
    if kind == bytes(_REFERENCE) or (kind == b"null" and item.keys() - {"type"} == {"id"}):
        return _text(item.get("id"))
    return ""


def _owner(id_: str) -> str:
    found = _ITEM.fullmatch(id_)
    return "" if found is None else f"resp_{_OURS}{found['response']}"


def _without_id(item: Item) -> Item:
    if _text(item.get("type")) == "reasoning" or _reference(item):
        return item  # where the id is required
    return {name: raw for name, raw in item.items() if name != "id"} if _owner(_text(item.get("id"))) else item


def _text(raw: bytes | msgspec.Raw | None) -> str:
    try:
        found = None if raw is None else msgspec.json.decode(raw)
    except MALFORMED:
        return ""
    return found if isinstance(found, str) else ""


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(text))
