"""Names and contents of records, as they lie on the disk: neither says anything without the key."""

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
# Conversations are text: a third of their size, for a millisecond a 100 KB.
_COMPRESSION = 1


@dataclass(frozen=True, slots=True)
class Address:
    """Of a record: whose it is, and its id."""

    owner: str
    id: str

    def __bytes__(self) -> bytes:
        """No two are the same."""
        owner = self.owner.encode()
        return len(owner).to_bytes(4, "big") + owner + self.id.encode()


class Sealing:
    """By one key. A record is sealed with AES-256-GCM, by a key of its own that comes of its address, and bound to that address:
    moved to another owner or id, it does not open."""

    def __init__(self, key: bytes) -> None:
        self._names = _derived(key, b"names of records")
        self._contents = _derived(key, b"contents of records")
        self.check = _derived(key, b"which key this is")

    def name(self, address: Address) -> bytes:
        """What the record is found by."""
        return hmac.digest(self._names, b"record" + bytes(address), "sha256")

    def owner(self, owner: str) -> bytes:
        """What all records of an owner have in common."""
        return hmac.digest(self._names, b"owner" + owner.encode(), "sha256")

    def seal(self, address: Address, value: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher(address).encrypt(nonce, zlib.compress(value, _COMPRESSION), bytes(address))

    def unseal(self, address: Address, sealed: bytes) -> bytes | None:
        """None where it was sealed by another key or for another address, or changed since."""
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return zlib.decompress(self._cipher(address).decrypt(nonce, rest, bytes(address)))
        except (InvalidTag, ValueError):
            return None

    def _cipher(self, address: Address) -> AESGCM:
        return AESGCM(hmac.digest(self._contents, bytes(address), "sha256"))


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, None, b"llm-gateway-sidecar: " + purpose).derive(key)
