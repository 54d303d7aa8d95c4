"""Versions of what is managed through the API: two of the same content have the same one, on every gateway."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import astuple

from sidecar.domain.snapshot import Limit

# 64 bits: a version is compared with the one before it and nothing else.
_DIGITS = 16


def version_of(text: str) -> str:
    """Of a document: 16 hex digits. A route's document names its keys by names that each change chooses again, so another key is
    another version."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]


def limits_version(limits: Iterable[Limit]) -> str:
    """Of the limits of a route, those of the config file included."""
    return version_of(json.dumps([astuple(limit) for limit in limits]))
