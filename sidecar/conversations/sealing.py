"""Encrypts the names and contents of records on disk; neither reveals anything without the key."""

from __future__ import annotations

import hmac
import os
import zlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
_NONCE_BYTES = 12
# Conversations are text: they compress to a third, at a millisecond per 100 KB.
_COMPRESSION = 1


@dataclass(frozen=True, slots=True)
class Address:
    """Identifies a record: its owner and its id."""

    owner: str
    id: str

    def __bytes__(self) -> bytes:
        """An unambiguous encoding."""
        owner = self.owner.encode()
        return len(owner).to_bytes(4, "big") + owner + self.id.encode()


class Sealing:
    """Encryption with one key.

    A record is sealed with AES-256-GCM, using a key derived from its address, and bound to that address: under
    another owner or id it cannot be opened.
    """

    def __init__(self, key: bytes) -> None:
        self._names = _derived(key, b"names of records")
        self._contents = _derived(key, b"contents of records")
        self.check = _derived(key, b"which key this is")

    def name(self, address: Address) -> bytes:
        """The name under which the record is stored."""
        return hmac.digest(self._names, b"record" + bytes(address), "sha256")

    def owner(self, owner: str) -> bytes:
        """What all records of an owner have in common."""
        return hmac.digest(self._names, b"owner" + owner.encode(), "sha256")

    def seal(self, address: Address, value: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher(address).encrypt(nonce, zlib.compress(value, _COMPRESSION), bytes(address))

    def unseal(self, address: Address, sealed: bytes) -> bytes | None:
        """None if it was sealed with another key or for another address, or has been modified."""
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return zlib.decompress(self._cipher(address).decrypt(nonce, rest, bytes(address)))
        except (InvalidTag, ValueError):
            return None

    def _cipher(self, address: Address) -> AESGCM:
        return AESGCM(hmac.digest(self._contents, bytes(address), "sha256"))


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, None, b"llm-gateway-sidecar: " + purpose).derive(key)
