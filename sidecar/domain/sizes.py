"""Sizes that a front and the core have to agree on."""

from __future__ import annotations

from typing import Final

MIB: Final = 1024 * 1024
# A REST body, as it is sent and once it is decompressed. A picture of 24 MB in base64 fits.
REQUEST_BYTES_MAX: Final = 32 * MIB
