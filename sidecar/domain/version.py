"""Versions of what is managed through the API: equal contents have the same version on every gateway."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import astuple

from sidecar.domain.snapshot import Limit

# 64 bits, since a version is only compared with the preceding one.
_DIGITS = 16


def version_of(text: str) -> str:
    """The version of a document: 16 hex digits. A route's document refers to its keys by names that every change
    generates again, so a different key is a different version."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]


def limits_version(limits: Iterable[Limit]) -> str:
    """The version of a route's limits, including those of the config file."""
    return version_of(json.dumps([astuple(limit) for limit in limits]))
