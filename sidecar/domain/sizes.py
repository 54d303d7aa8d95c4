"""Sizes that front and core must agree on."""

from __future__ import annotations

from typing import Final

MIB: Final = 1024 * 1024
# A REST body, both as sent and decompressed. An image of 24 MB in base64 fits.
REQUEST_BYTES_MAX: Final = 32 * MIB
