"""Encodes the gateway's own JSON."""

from __future__ import annotations

import json


def written(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
