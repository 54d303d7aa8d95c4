"""Shared documents are sealed as remembered answers are: AES-256-GCM, by a key of their own for each name."""

from __future__ import annotations

from sidecar.conversations.sealing import Address, Sealing
from sidecar.domain.snapshot import SharedStore


class DocumentSeal:
    """By `store.encryption_key`, for a set of documents of one installation."""

    def __init__(self, key: str, owner: str) -> None:
        self._sealing = Sealing(key.encode())
        self._owner = owner

    @classmethod
    def of(cls, store: SharedStore, kind: str) -> DocumentSeal | None:
        """None without a key. `kind`: which set of documents it is."""
        key = store.encryption_key
        return None if key is None else cls(key.reveal(), f"{kind} of {store.installation}")

    def seal(self, name: str, document: bytes) -> bytes:
        return self._sealing.seal(Address(self._owner, name), document)

    def unseal(self, name: str, sealed: bytes) -> bytes | None:
        return self._sealing.unseal(Address(self._owner, name), sealed)
