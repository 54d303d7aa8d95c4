"""Encrypts shared documents like stored answers: AES-256-GCM, with a separate key for each name."""

from __future__ import annotations

from sidecar.conversations.sealing import Address, Sealing
from sidecar.domain.snapshot import SharedStore


class DocumentSeal:
    """Uses `store.encryption_key`, for one set of documents of an installation."""

    def __init__(self, key: str, owner: str) -> None:
        self._sealing = Sealing(key.encode())
        self._owner = owner

    @classmethod
    def of(cls, store: SharedStore, kind: str) -> DocumentSeal | None:
        """Returns None without a key. `kind` names the set of documents."""
        key = store.encryption_key
        return None if key is None else cls(key.reveal(), f"{kind} of {store.installation}")

    def seal(self, name: str, document: bytes) -> bytes:
        return self._sealing.seal(Address(self._owner, name), document)

    def unseal(self, name: str, sealed: bytes) -> bytes | None:
        return self._sealing.unseal(Address(self._owner, name), sealed)
