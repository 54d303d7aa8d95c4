"""Stored answers: a request that continues one is completed before the call, and an answer is stored before its
caller receives the end of it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from adapters import Envelope, GatewayError, Kind
from adapters.responses import remembered
from adapters.responses.remembered import Ids, Needs, Record
from sidecar.conversations import Memory
from sidecar.domain.large_work import off_loop
from sidecar.domain.snapshot import Consumer


@dataclass(frozen=True, slots=True)
class Kept:
    """Where the answer to one call is stored."""

    memory: Memory
    owner: str
    ids: Ids  # ids of the answer and its items, replacing the provider's
    input: tuple[remembered.Item, ...]
    before: tuple[str, ...]

    async def keep(self, response: bytes) -> bool:
        """Stores the answer. Returns whether that was possible."""
        record = Record(msgspec.Raw(response), self.input, self.before)
        value = await off_loop(len(response), remembered.written, record)
        return await self.memory.put(self.owner, self.ids.response, value)


class RememberedResponses:
    """The stored answers, as the paths of the Responses API use them."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    @property
    def on(self) -> bool:
        return self._memory.settings is not None

    async def opened(self, consumer: Consumer, envelope: Envelope) -> tuple[Envelope, Kept | None]:
        """Returns the completed request, and where to store its answer (None if it is not stored). Raises
        GatewayError for an id that is not stored."""
        if not self.on:
            return envelope, None
        ids = Ids(secrets.token_hex(16))
        needs = await off_loop(_size(envelope.members), remembered.read_needs, envelope, ids)
        records = await self._records(consumer, needs)
        size = _size(envelope.members) + sum(len(record.response) + _size_of(record) for record in records.values())
        before = remembered.before(needs, records)
        members = await off_loop(size, remembered.expanded, envelope, needs, records)
        answers = {"store": b"true" if needs.keeps else b"false"}
        if needs.previous:
            answers["previous_response_id"] = msgspec.json.encode(needs.previous)
        kept = Kept(self._memory, consumer.name, ids, needs.items, before) if needs.keeps else None
        return envelope._replace(members=members, answers=answers), kept

    async def find(self, consumer: Consumer, id_: str) -> Record:
        """Returns a stored answer. Raises route_not_found. Reading an answer does not extend its lifetime."""
        if self.on and remembered.is_response_id(id_):
            found = await self._memory.get(
                consumer.name, [id_], used=False, bytes_max=remembered.CONVERSATION_BYTES_MAX
            )
            if id_ in found:
                return remembered.read_record(found[id_])
        raise self._unknown(id_)

    async def input_items(self, consumer: Consumer, id_: str) -> list[remembered.Item]:
        """Returns all items that the model was given, the first one first."""
        record = await self.find(consumer, id_)
        previous = record.before[-1] if record.before else ""
        needs = Needs(previous, record.input, ids=remembered.referred(record.input))
        return remembered.listed(needs, await self._records(consumer, needs, used=False))

    async def delete(self, consumer: Consumer, id_: str) -> None:
        """Deletes a stored answer. Raises route_not_found."""
        if not (self.on and remembered.is_response_id(id_) and await self._memory.delete(consumer.name, id_)):
            raise self._unknown(id_)

    async def _records(self, consumer: Consumer, needs: Needs, *, used: bool = True) -> Mapping[str, Record]:
        records: dict[str, Record] = {}
        looked_for: set[str] = set()
        left = remembered.CONVERSATION_BYTES_MAX
        while needed := remembered.missing(needs, records) - looked_for:
            looked_for |= needed
            found = await self._memory.get(consumer.name, needed, used=used, bytes_max=left)
            size = sum(map(len, found.values()))
            left -= size
            records |= await off_loop(size, _read, found)
        remembered.require(needs, records, self._kept_for())
        return records

    def _kept_for(self) -> str:
        settings = self._memory.settings
        return "a time" if settings is None else f"{settings.remember_s:g} seconds"

    def _unknown(self, id_: str) -> GatewayError:
        text = f'There is no response "{id_[:128]}": '
        if self.on:
            text += (
                f"answers are stored for {self._kept_for()} after their last use. Read a provider's at the provider."
            )
        else:
            text += (
                "this gateway does not store answers. The operator can set `responses: {remember: 1h}` in the config."
            )
        return GatewayError(Kind.ROUTE_NOT_FOUND, text, param="id", code="response_not_found")


def _read(values: Mapping[str, bytes]) -> dict[str, Record]:
    return {id_: remembered.read_record(value) for id_, value in values.items()}


def _size(members: Mapping[str, bytes]) -> int:
    return sum(len(raw) for raw in members.values())


def _size_of(record: Record) -> int:
    return sum(len(raw) for item in record.input for raw in item.values())
